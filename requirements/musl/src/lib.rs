//! Nothing: the libraries below it are what is wanted.
