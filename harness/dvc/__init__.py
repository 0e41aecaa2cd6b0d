"""DVC pointers, remote layouts and the three-way verdict. Pure functions over bytes where possible."""
