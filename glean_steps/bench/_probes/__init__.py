"""What the environment of the peers runs, one process per figure. It knows nothing of the rest of `glean_steps`.

`python -I -c BOOT FOLDER MEASURE JSON` with the folder above this one; prints its figures as one line of JSON.
"""
