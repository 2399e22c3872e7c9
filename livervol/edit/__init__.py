"""What a reader does to masks: (mask, gesture) -> change, and the journal that keeps every change."""
