//! The differences of two transcripts.

use serde_json::Value;

/// Unchanged lines shown around a difference.
const CONTEXT: usize = 3;

/// The differences of two transcripts as text, `-` for the first and `+` for the second; `None` if
/// they are equal.
#[must_use]
pub fn transcripts(first: &[Value], second: &[Value]) -> Option<String> {
    let mut shown = String::new();
    for index in 0..first.len().max(second.len()) {
        let (a, b) = (first.get(index), second.get(index));
        if a == b {
            continue;
        }
        let title = a
            .or(b)
            .map(|entry| entry["step"].to_string())
            .unwrap_or_default();
        shown.push_str(&format!("step {}: {title}\n", index + 1));
        shown.push_str(&lines(&pretty(a), &pretty(b)));
    }
    (!shown.is_empty()).then_some(shown)
}

/// One entry of a transcript as indented JSON.
#[must_use]
pub fn pretty(entry: Option<&Value>) -> String {
    entry
        .and_then(|entry| serde_json::to_string_pretty(entry).ok())
        .unwrap_or_default()
}

/// A line diff by longest common subsequence.
fn lines(first: &str, second: &str) -> String {
    let (a, b): (Vec<&str>, Vec<&str>) = (first.lines().collect(), second.lines().collect());
    let start = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
    let end = a[start..]
        .iter()
        .rev()
        .zip(b[start..].iter().rev())
        .take_while(|(x, y)| x == y);
    let end = end.count();
    let (middle_a, middle_b) = (&a[start..a.len() - end], &b[start..b.len() - end]);
    let mut edits: Vec<(char, &str)> = a[..start].iter().map(|line| (' ', *line)).collect();
    edits.extend(middle(middle_a, middle_b));
    edits.extend(a[a.len() - end..].iter().map(|line| (' ', *line)));
    with_context(&edits)
}

fn middle<'a>(a: &[&'a str], b: &[&'a str]) -> Vec<(char, &'a str)> {
    // The table of common subsequences needs `a.len() * b.len()` entries, so very long entries are
    // shown whole.
    if a.len() * b.len() > 4_000_000 {
        let removed = a.iter().map(|line| ('-', *line));
        return removed.chain(b.iter().map(|line| ('+', *line))).collect();
    }
    let width = b.len() + 1;
    let mut common = vec![0u32; (a.len() + 1) * width];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            common[i * width + j] = if a[i] == b[j] {
                common[(i + 1) * width + j + 1] + 1
            } else {
                common[(i + 1) * width + j].max(common[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j, mut edits) = (0, 0, Vec::new());
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            edits.push((' ', a[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == b.len()
            || (i < a.len() && common[(i + 1) * width + j] >= common[i * width + j + 1])
        {
            edits.push(('-', a[i]));
            i += 1;
        } else {
            edits.push(('+', b[j]));
            j += 1;
        }
    }
    edits
}

fn with_context(edits: &[(char, &str)]) -> String {
    let near = |index: usize| {
        let from = index.saturating_sub(CONTEXT);
        let to = (index + CONTEXT + 1).min(edits.len());
        edits[from..to].iter().any(|(sign, _)| *sign != ' ')
    };
    let mut shown = String::new();
    let mut gap = false;
    for (index, (sign, line)) in edits.iter().enumerate() {
        if near(index) {
            shown.push_str(&format!("  {sign} {line}\n"));
            gap = false;
        } else if !gap {
            shown.push_str("    …\n");
            gap = true;
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn transcripts_shows_only_differing_steps() {
        let first = [
            json!({"step": "a", "n": 1}),
            json!({"step": "b", "n": [1, 2, 3]}),
        ];
        let second = [
            json!({"step": "a", "n": 1}),
            json!({"step": "b", "n": [1, 3]}),
        ];
        assert_eq!(super::transcripts(&first, &first), None);
        let shown = super::transcripts(&first, &second).unwrap();
        assert!(shown.starts_with("step 2: \"b\"\n"), "{shown}");
        assert!(
            shown.contains("  -     2,\n") && !shown.contains("  + "),
            "{shown}"
        );
    }
}
