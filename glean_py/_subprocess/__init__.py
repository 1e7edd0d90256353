"""What runs in processes that glean_py starts; nothing here is imported by programs."""
