"""What a job is: its configuration, its variables, the models that travel with it. No nvflare."""
