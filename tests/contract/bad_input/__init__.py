"""What the real front door says and leaves when what it is given, or the machine, is wrong."""
