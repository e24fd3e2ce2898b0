//! Arrows between sibling modules, and the circles among them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::tree::{Crate, ModulePath};

/// Which siblings each module depends on, with the path that shows it.
#[derive(Debug, Default)]
pub(super) struct Arrows(BTreeMap<ModulePath, BTreeMap<ModulePath, Evidence>>);

/// A place that is responsible for an arrow.
#[derive(Debug)]
struct Evidence {
    module: ModulePath,
    path: Vec<String>,
}

/// Modules that depend on one another.
#[derive(Debug)]
pub(super) struct Circle {
    /// The path of their parent.
    pub(super) parent: String,
    /// The arrows of a shortest circle.
    pub(super) text: String,
}

impl Arrows {
    /// The arrows of a crate.
    pub(super) fn of(parsed: &Crate) -> Self {
        let mut arrows = Self::default();
        for (from, module) in &parsed.modules {
            for path in &module.paths {
                if let Some(home) = parsed.home(from, path) {
                    arrows.add(from, &home, path);
                }
            }
        }
        arrows
    }

    /// The arrow between the siblings below which the two modules are; none if one is below the other.
    fn add(&mut self, from: &[String], to: &[String], path: &[String]) {
        let common = from.iter().zip(to).take_while(|(a, b)| a == b).count();
        if from.len() == common || to.len() == common {
            return;
        }
        let (from_sibling, to_sibling) = (&from[..=common], &to[..=common]);
        let arrows = self.0.entry(from_sibling.to_vec()).or_default();
        let evidence = Evidence {
            module: from.to_vec(),
            path: path.to_vec(),
        };
        // The longest path, which is that of the import, says most.
        let known = arrows.get(to_sibling);
        if known.is_none_or(|known| known.path.len() < path.len()) {
            arrows.insert(to_sibling.to_vec(), evidence);
        }
    }

    /// A shortest circle of each group of modules that depend on one another.
    pub(super) fn circles(&self) -> Vec<Circle> {
        let mut seen = BTreeSet::new();
        let mut circles = Vec::new();
        for start in self.0.keys() {
            if seen.contains(start) {
                continue;
            }
            if let Some(circle) = self.shortest(start) {
                let reached = self.reachable(start);
                seen.extend(
                    reached
                        .into_iter()
                        .filter(|it| self.reachable(it).contains(start)),
                );
                let parent = start.split_last().map_or(&[][..], |(_, parent)| parent);
                circles.push(Circle {
                    parent: parent.join("::"),
                    text: self.text(&circle),
                });
            }
        }
        circles
    }

    fn next(&self, module: &ModulePath) -> impl Iterator<Item = &ModulePath> {
        self.0.get(module).into_iter().flat_map(BTreeMap::keys)
    }

    fn reachable(&self, start: &ModulePath) -> BTreeSet<ModulePath> {
        let mut reached = BTreeSet::new();
        let mut open: Vec<&ModulePath> = self.next(start).collect();
        while let Some(module) = open.pop() {
            if reached.insert(module.clone()) {
                open.extend(self.next(module));
            }
        }
        reached
    }

    /// The modules of a shortest way from a module back to itself.
    fn shortest(&self, start: &ModulePath) -> Option<Vec<ModulePath>> {
        let mut open = VecDeque::from([vec![start.clone()]]);
        let mut seen = BTreeSet::new();
        while let Some(way) = open.pop_front() {
            for next in way.last().into_iter().flat_map(|last| self.next(last)) {
                let mut longer = way.clone();
                longer.push(next.clone());
                if next == start {
                    return Some(longer);
                }
                if seen.insert(next.clone()) {
                    open.push_back(longer);
                }
            }
        }
        None
    }

    fn text(&self, circle: &[ModulePath]) -> String {
        let steps = circle.windows(2).filter_map(|step| {
            let evidence = self.0.get(&step[0])?.get(&step[1])?;
            let (from, to) = (step[0].join("::"), step[1].join("::"));
            let (module, path) = (evidence.module.join("::"), evidence.path.join("::"));
            Some(format!("{from} → {to} ({module} names {path})"))
        });
        steps.collect::<Vec<_>>().join(", ")
    }
}
