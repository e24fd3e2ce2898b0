//! Byte sizes with units.

use std::fmt;
use std::str::FromStr;

/// A number of bytes, written as a number with an optional `Ki`, `Mi` or `Gi`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub usize);

const UNITS: [(&str, u32); 3] = [("Ki", 10), ("Mi", 20), ("Gi", 30)];

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unit = UNITS.into_iter().find_map(|(name, shift)| {
            let digits = text.strip_suffix(name)?;
            Some((digits, 1_usize << shift))
        });
        let (digits, factor) = unit.unwrap_or((text, 1));
        let number = digits.parse::<usize>().ok();
        let bytes = number.and_then(|number| number.checked_mul(factor));
        let wanted = "must be a number of bytes, such as 1048576, 64Mi or 1Gi";
        bytes.map(Self).ok_or_else(|| wanted.to_owned())
    }
}

impl fmt::Display for Size {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut units = UNITS.into_iter().rev();
        match units.find(|(_, shift)| self.0 > 0 && self.0.trailing_zeros() >= *shift) {
            Some((name, shift)) => write!(out, "{}{name}", self.0 >> shift),
            None => write!(out, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Size;

    #[test]
    fn sizes_are_parsed_and_printed() {
        for (text, bytes) in [
            ("0", 0),
            ("1000", 1000),
            ("64Mi", 64 << 20),
            ("3Gi", 3 << 30),
        ] {
            assert_eq!(text.parse(), Ok(Size(bytes)));
            assert_eq!(Size(bytes).to_string(), text);
        }
        assert_eq!("2048".parse::<Size>().unwrap().to_string(), "2Ki");
        for bad in ["", "Mi", "-1", "1.5Gi", "1MB", "99999999999Gi"] {
            assert!(bad.parse::<Size>().is_err(), "{bad}");
        }
    }
}
