"""What people read: console tables drawn from a result."""
