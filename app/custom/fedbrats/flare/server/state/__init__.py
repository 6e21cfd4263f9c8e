"""What the server must remember of a job, and how a job goes on from it."""
