"""The napari plugin: forms over public functions of livervol; no arithmetic."""
