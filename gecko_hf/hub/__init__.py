"""What people read: cards, tables and the report page."""
