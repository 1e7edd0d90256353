"""What runs in the environment of the baselines, one process per figure. It knows nothing of the rest of the project.

`python -I -c BOOT FOLDER MEASURE JSON` with the folder above this one; prints its figures as one line of JSON.
"""
