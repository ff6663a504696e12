"""What an object is to show of its instance, when, and how that gets there."""
