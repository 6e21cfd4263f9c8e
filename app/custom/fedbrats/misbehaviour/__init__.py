"""Sites that do harm on purpose, to measure what a federation survives: in POC, the simulator and tests only.

Nothing that a hospital's process imports imports this folder, and no site file names it. `--misbehave` of `fedbrats
poc` and `fedbrats simulate` puts the executors of `executors.py` into the job and on the class list of those kits.
"""
