"""Models shared by all calls of the process; only recurrent state is per call."""
