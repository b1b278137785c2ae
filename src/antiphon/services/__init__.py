"""Speech and language services, one module a vendor."""
