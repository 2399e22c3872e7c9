"""One visit or one course from inputs to output folder: read, segment, measure, assess, write."""
