"""What a startup kit enforces, whatever a job says."""
