//! Tests of the suite itself: the model passes, and faulty drivers are detected.

mod crashes;
mod dying;
mod ends;
mod faulty_driver;
mod flushes;
mod model;
mod moves;
mod mutant;
mod mutants;
mod program;
mod reflection;
mod served;
