"""The live monitor: sources of sound, the loop that listens to them, and the history it keeps."""
