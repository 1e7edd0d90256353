"""The steps that build, test and prove the wheels; they import neither nox nor invoke."""
