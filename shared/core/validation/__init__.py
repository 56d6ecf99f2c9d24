"""What JSON and texts from outside must look like, and how they are shown in errors and on screens."""
