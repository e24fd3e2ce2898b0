//! Tests of the suite itself: the model passes, and faulty drivers are detected.

mod bent;
mod crashes;
mod ends;
mod model;
mod moves;
mod mutant;
mod mutants;
mod program;
mod served;
