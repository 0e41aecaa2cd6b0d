"""What the reader sees: phases while they run, then the verdict, the evidence and the timeline."""
