//! Go's limits of a pattern, counted while it is parsed: copies made by nested repetitions, size of
//! the program, and depth.
//!
//! Source: `checkLimits` and `repeatIsValid` in `regexp/syntax/parse.go`. Without them a definition
//! of a few bytes, such as `((.{1000}){1000}){1000}`, exhausts the memory when it is loaded.

/// Limit of copies of the innermost expression in nested repetitions.
pub(super) const MAX_COPIES: u64 = 1000;

/// Limit of instructions of a program: 128 MiB, 40 bytes each.
const MAX_SIZE: u64 = (128 << 20) / 40;

/// Limit of nested expressions.
const MAX_HEIGHT: u32 = 1000;

/// The limit that a pattern exceeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exceeded {
    Copies,
    Size,
    Height,
}

/// The bounds of a repetition.
#[derive(Clone, Copy)]
pub(super) enum Repeat {
    Star,
    Plus,
    Quest,
    /// `{least,most}`; `most` is `None` without an upper bound.
    Counted {
        least: u32,
        most: Option<u32>,
    },
}

/// State of the parser, innermost group last.
#[derive(Default)]
pub(super) struct Limits {
    outer: Vec<Group>,
    group: Group,
}

/// An expression's cost.
#[derive(Clone, Copy)]
struct Cost {
    size: u64,
    /// Largest number of copies of any subexpression.
    copies: u64,
    height: u32,
}

#[derive(Default)]
struct Group {
    captures: bool,
    alternatives: Sum,
    sequence: Sum,
    /// The expression to which the next repetition applies.
    last: Option<Cost>,
}

/// Sum over a sequence of expressions.
#[derive(Clone, Copy, Default)]
struct Sum {
    count: u64,
    size: u64,
    copies: u64,
    height: u32,
}

impl Limits {
    /// A character, a class or an anchor.
    pub(super) fn atom(&mut self) {
        self.group.push(Cost {
            size: 1,
            copies: 0,
            height: 1,
        });
    }

    /// A parenthesis that opens a group.
    pub(super) fn open(&mut self, captures: bool) {
        let group = Group {
            captures,
            ..Group::default()
        };
        self.outer.push(std::mem::replace(&mut self.group, group));
    }

    /// A parenthesis that closes a group.
    pub(super) fn close(&mut self) -> Result<(), Exceeded> {
        let outer = self.outer.pop().unwrap_or_default();
        let group = std::mem::replace(&mut self.group, outer);
        let captures = group.captures;
        let mut cost = group.cost();
        if captures {
            cost.size += 2;
            cost.height += 1;
        }
        self.group.push(cost);
        cost.check()
    }

    /// A bar between alternatives.
    pub(super) fn alternative(&mut self) {
        self.group.end_sequence();
    }

    /// A repetition of the last expression.
    pub(super) fn repeat(&mut self, repeat: Repeat) -> Result<(), Exceeded> {
        let Some(sub) = self.group.last else {
            return Ok(());
        };
        let cost = sub.repeated(repeat);
        self.group.last = Some(cost);
        cost.check()?;
        let counted =
            matches!(repeat, Repeat::Counted { least, most } if least.max(most.unwrap_or(0)) >= 2);
        if counted && cost.copies > MAX_COPIES {
            return Err(Exceeded::Copies);
        }
        Ok(())
    }

    /// The end of the pattern; returns the number of instructions.
    pub(super) fn end(self) -> Result<u64, Exceeded> {
        let cost = self.group.cost();
        cost.check().map(|()| cost.size)
    }
}

impl Group {
    fn push(&mut self, cost: Cost) {
        if let Some(before) = self.last.replace(cost) {
            self.sequence.add(before);
        }
    }

    fn end_sequence(&mut self) {
        if let Some(last) = self.last.take() {
            self.sequence.add(last);
        }
        let sequence = std::mem::take(&mut self.sequence).cost(0);
        self.alternatives.add(sequence);
    }

    /// Cost of the group's content.
    fn cost(mut self) -> Cost {
        self.end_sequence();
        let bars = self.alternatives.count - 1;
        self.alternatives.cost(bars)
    }
}

impl Sum {
    fn add(&mut self, cost: Cost) {
        self.count += 1;
        self.size = self.size.saturating_add(cost.size);
        self.copies = self.copies.max(cost.copies);
        self.height = self.height.max(cost.height);
    }

    fn cost(self, more: u64) -> Cost {
        Cost {
            size: self.size.saturating_add(more).max(1),
            copies: self.copies,
            height: self.height + u32::from(self.count > 1),
        }
    }
}

impl Cost {
    fn repeated(self, repeat: Repeat) -> Self {
        let (size, copies) = (self.size, self.copies);
        let times = |count: u32| u64::from(count).saturating_mul(size);
        let (size, copies) = match repeat {
            Repeat::Star => (size + 2, copies),
            Repeat::Plus | Repeat::Quest => (size + 1, copies),
            Repeat::Counted {
                least: 0,
                most: None,
            } => (size + 2, copies),
            Repeat::Counted { least, most: None } => {
                (times(least) + 1, u64::from(least) * copies.max(1))
            }
            Repeat::Counted {
                least,
                most: Some(most),
            } => (
                times(most) + u64::from(most - least),
                u64::from(most) * copies.max(1),
            ),
        };
        Self {
            size: size.max(1),
            copies,
            height: self.height + 1,
        }
    }

    const fn check(self) -> Result<(), Exceeded> {
        if self.size > MAX_SIZE {
            return Err(Exceeded::Size);
        }
        if self.height > MAX_HEIGHT {
            return Err(Exceeded::Height);
        }
        Ok(())
    }
}
