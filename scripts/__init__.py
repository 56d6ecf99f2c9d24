"""What people start: the command, the simulator, benches, drills and plans, set-up and deployment."""
