//! Types of values.

/// The JSON types of schemas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A list.
    Array,
    /// True or false.
    Boolean,
    /// A number without fraction.
    Integer,
    /// Any number.
    Number,
    /// A map.
    Object,
    /// A string.
    String,
}
