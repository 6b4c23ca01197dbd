"""Reading what others wrote and writing what others read."""
