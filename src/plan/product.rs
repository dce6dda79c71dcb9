//! Which kernel a matrix product takes, in which tiles, and what is fetched ahead. None of this
//! changes a bit: each element is one chain over its terms whatever the tile.
//!
//! # Rank updates, `W = S W + A^T P` and the optimisers' forms of it
//!
//! A row of W takes one vector of P for each of `terms` samples. The first row that fits:
//!
//! | kernel | terms | matrices read and written | why |
//! |---|---|---|---|
//! | [`Contiguous`](Update::Contiguous) | 1 | any | vectors run over the ends of rows, none is cut short or lies across two cache lines: 1.5 at D = 784 (natural, Adam), 1.4 at 257, 1.13 at 2049 |
//! | | 2 | one, at most 16 MB | with more, memory has to wait for arithmetic unless it is asked for ahead |
//! | | 2 to 4 | several (moments), at most 16 MB | 1.1 to 1.3 up to D = 1024, 0.83 to 0.95 from 2048 on |
//! | [`Staggered`](Update::Staggered) | 2 to 16 | several, 2 MB and more, rows that do not begin at lines | tiles of rows `LANES` apart: 1.1 to 1.28 at D = 785, 1000, 1025, 1500; 0.9 to 1.0 below 2 MB |
//! | [`Tiles`](Update::Tiles) | else | any | registers hold a tile of W, or of its direction |
//!
//! # Tiles
//!
//! | rows of a tile | for |
//! |---|---|
//! | 1 | 1 term: one stream for each matrix is what the processor fetches ahead best |
//! | 2 | 2 to 12 terms, three matrices (Adam) |
//! | 3 | 2 to 16 terms |
//! | 6, or what the registers hold | more terms, and products that read no matrix |
//!
//! Short chains that fetch ahead take tiles of two vectors instead of four: as many requests, in
//! smaller portions (Adam at B = 10: 1.14 to 1.3 from D = 784 on).
//!
//! | order of tiles | for | why |
//! |---|---|---|
//! | bands of rows | more rows of output than terms | a part of X that fits into 384 KB stays in the second cache |
//! | strips of columns | else | each strip reads its part of X once |
//!
//! Strips of more than 1,024 rows of X, or of 128 whose rows are a multiple of 4,096 bytes apart, go
//! 128 rows at a time: see [`strip_terms`].

/// Bytes of X that all bands of rows share: they stay in the second cache.
const CACHED: usize = 384 << 10;

/// Columns of a strip of four vectors, of either type.
pub(crate) const STRIP: usize = 64;

/// Bytes of an output that stay in the second cache as a whole.
const SMALL: usize = 512 << 10;

/// Rows of X that a strip takes at a time where X is large: the strip stays in the first cache, and
/// its pages in the translation buffer.
const STRIP_TERMS: usize = 128;

/// For so few rows of output, so few rows of X: they are then read from end to end.
const FEW: usize = 4;
const FEW_TERMS: usize = 8;

/// More terms than this make X large.
const MANY_TERMS: usize = 1024;

/// Rows of X that lie a multiple of this many bytes apart share few sets of the caches: a strip of
/// more than [`STRIP_TERMS`] of them stays in none (1.9 at D = 1024 in f32).
const ALIASED: usize = 4096;

/// Chains of more terms leave time to fetch what comes after them; shorter ones fetch what comes
/// some strips later.
const LONG: usize = 16;
const SHORT_AHEAD: usize = 3;

/// Vectors of the tiles of short chains: requests for more than this at once would hold up the
/// processor.
const SHORT_BLOCKS: usize = 2;

/// Tiles of so few rows are done so soon that what comes next is fetched into the first cache. More
/// rows have more of X pass through it, which would push out what was fetched.
pub(crate) const SWIFT: usize = 3;

/// Bytes beyond which what an update reads is fetched ahead.
pub(crate) const FAR: usize = 4 << 20;

/// The same for contiguous updates, whose own streams fetch ahead where there are several; and by
/// how many vectors.
const FAR_ALONE: usize = 1 << 20;
pub(crate) const CONTIGUOUS_AHEAD: usize = 16;

/// Bytes beyond which only single terms gain from contiguous updates.
const LARGE: usize = 16 << 20;

/// The most terms of contiguous updates: each vector of X is used for one row only, where tiles
/// share it. Epilogues with work of their own leave time for that.
pub(crate) const CONTIGUOUS_TERMS: usize = 4;
const CONTIGUOUS_TERMS_ALONE: usize = 2;

/// The most terms of staggered updates, and the bytes from which on it pays that less is fetched.
pub(crate) const STAGGERED_TERMS: usize = 16;
const STAGGERED_BYTES: usize = 2 << 20;

/// Groups of rows `LANES` apart that a thread takes at least in staggered updates, so that there
/// are several to make tiles of, and the most of them in a tile.
pub(crate) const STAGGERED_GROUPS: usize = 2;
pub(crate) const STAGGERED_HIGHEST: usize = 3;

/// The kernel of a rank update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Update {
    Contiguous,
    Staggered,
    Tiles,
}

/// How the rows of an update's matrices begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowStarts {
    /// All at cache lines.
    Lines,
    /// One where the last ends, anywhere in a line.
    Anywhere,
    /// With gaps between them: vectors may not run over the ends of rows.
    Gaps,
}

/// What a rank update is chosen by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UpdateShape {
    pub rows: usize,
    /// At least a vector of columns, or it is for tiles.
    pub whole_vector: bool,
    pub terms: usize,
    /// Matrices that are read and written, and their bytes.
    pub streams: usize,
    pub bytes: usize,
    pub starts: RowStarts,
}

/// The kernel of a rank update.
pub(crate) fn update(shape: &UpdateShape) -> Update {
    let UpdateShape { rows, whole_vector, terms, streams, bytes, starts } = *shape;
    if starts == RowStarts::Gaps || !whole_vector || terms == 0 {
        return Update::Tiles;
    }
    let contiguous = match streams {
        0 => 0,
        _ if bytes > LARGE => 1,
        1 => CONTIGUOUS_TERMS_ALONE,
        _ => CONTIGUOUS_TERMS,
    };
    if rows > 1 && terms <= contiguous {
        return Update::Contiguous;
    }
    let staggered = streams >= 2 && bytes >= STAGGERED_BYTES && starts == RowStarts::Anywhere;
    if staggered && terms <= STAGGERED_TERMS { Update::Staggered } else { Update::Tiles }
}

/// Whether a contiguous update asks for what it reads ahead.
pub(crate) fn contiguous_fetches(streams: usize, bytes: usize) -> bool {
    bytes > if streams == 1 { FAR_ALONE } else { LARGE }
}

/// The most rows of a tile that reads and writes so many matrices.
#[inline(always)]
pub(crate) fn tile_rows(terms: usize, streams: usize) -> usize {
    match terms {
        _ if streams == 0 => 6,
        1 => 1,
        ..=12 if streams >= 3 => 2,
        ..=16 => 3,
        _ => 6,
    }
}

/// The most vectors of a tile, of `most` that the registers hold.
#[inline(always)]
pub(crate) fn tile_blocks(terms: usize, fetches: bool, most: usize) -> usize {
    if fetches && terms <= LONG { SHORT_BLOCKS.min(most) } else { most }
}

/// How many strips ahead of time a tile asks for what it reads.
#[inline(always)]
pub(crate) fn strips_ahead(terms: usize, long: usize) -> usize {
    if terms > LONG { long } else { SHORT_AHEAD }
}

/// The order of a product's tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Bands of rows, for so many columns at a time.
    Bands(usize),
    /// Strips of columns.
    Strips,
}

/// The order of tiles for an output of `rows`, from numbers of `element` bytes.
pub(crate) fn order(rows: usize, terms: usize, element: usize) -> Order {
    if rows > terms {
        let width = CACHED / element / terms.max(1) / STRIP * STRIP;
        Order::Bands(width.max(4 * STRIP))
    } else {
        Order::Strips
    }
}

/// Whether an output of so many bytes stays in cache: all its bands go in one call then.
#[inline(always)]
pub(crate) fn is_small(bytes: usize) -> bool {
    bytes <= SMALL
}

/// How many of a strip's `terms` are taken at a time, rows of X that lie `stride` bytes apart, if
/// its chains may be put down and taken up.
#[inline(always)]
pub(crate) fn strip_terms(rows: usize, terms: usize, stride: usize, resumes: bool) -> usize {
    let (few, many) = (rows <= FEW, terms > MANY_TERMS);
    let aliased = stride.is_multiple_of(ALIASED);
    match resumes {
        true if few && many => FEW_TERMS,
        true if !few && (many || aliased) => STRIP_TERMS.min(terms),
        _ => terms,
    }
}

/// Whether a product is so small that a call would take longer than its arithmetic.
#[inline(always)]
pub(crate) fn is_inline(rows: usize, terms: usize) -> bool {
    rows <= FEW && terms <= FEW
}

pub(crate) mod dots {
    //! Products of rows with rows, `X Y^T`: both operands are read along their rows.
    //!
    //! | kernel | for |
    //! |---|---|
    //! | one by one | at most 2 rows of X, 2 of Y, 8 vectors long: calls would take longer |
    //! | fans, one row of X against a whole tile's rows of Y | one row of X, less than 16 vectors long: 1.15 to 1.2 at D = 64 and B = 1; longer rows lie a power of two apart in cache |
    //! | tiles | else |

    const FEW: usize = 2;
    const SHORT: usize = 8;
    const LONG: usize = 16;

    /// Bytes of X that are worked through before the next rows of Y: they stay in the second cache.
    const CACHED: usize = 440 << 10;

    /// Whether rows go one by one.
    #[inline(always)]
    pub(crate) fn one_by_one(x_rows: usize, y_rows: usize, cols: usize, lanes: usize) -> bool {
        x_rows <= FEW && y_rows <= FEW && cols <= SHORT * lanes
    }

    /// Whether one row of X goes against a tile's rows of Y.
    #[inline(always)]
    pub(crate) fn fans(x_rows: usize, cols: usize, lanes: usize) -> bool {
        x_rows == 1 && cols < LONG * lanes
    }

    /// Rows of X that are taken at a time, of `row_bytes` each: a multiple of 4.
    #[inline(always)]
    pub(crate) fn band(x_rows: usize, row_bytes: usize) -> usize {
        let bands = x_rows.div_ceil(CACHED / row_bytes).max(1);
        x_rows.div_ceil(bands).next_multiple_of(4)
    }

    /// Whether Y, of so many bytes, is read from memory, so that its next rows are fetched ahead.
    #[inline(always)]
    pub(crate) fn fetches(y_bytes: usize) -> bool {
        y_bytes > CACHED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const F32: usize = 4;

    /// An Adam (3 matrices) or structured (1) update of a `dim x dim` weight in f32.
    fn of(dim: usize, terms: usize, streams: usize) -> Update {
        let starts = if dim.is_multiple_of(16) { RowStarts::Lines } else { RowStarts::Anywhere };
        let bytes = streams * dim * dim * F32;
        update(&UpdateShape { rows: dim, whole_vector: dim >= 16, terms, streams, bytes, starts })
    }

    #[test]
    fn the_table_of_updates() {
        use Update::{Contiguous, Staggered, Tiles};
        let cases = [
            (64, 1, 1, Contiguous),
            (64, 2, 1, Contiguous),
            (64, 3, 1, Tiles),
            (64, 4, 3, Contiguous),
            (64, 5, 3, Tiles),
            (15, 1, 1, Tiles),
            (2048, 1, 3, Contiguous),
            (2048, 2, 3, Tiles),
            (2049, 2, 3, Staggered),
            (784, 10, 3, Tiles),
            (785, 10, 3, Staggered),
            (785, 16, 3, Staggered),
            (785, 17, 3, Tiles),
            (785, 10, 1, Tiles),
            (400, 10, 3, Tiles),
        ];
        for (dim, terms, streams, want) in cases {
            assert_eq!(of(dim, terms, streams), want, "{dim} {terms} {streams}");
        }
        let gaps = UpdateShape {
            rows: 64,
            whole_vector: true,
            terms: 1,
            streams: 1,
            bytes: 64 * 64 * F32,
            starts: RowStarts::Gaps,
        };
        assert_eq!(update(&gaps), Tiles);
    }

    #[test]
    fn the_table_of_tiles() {
        let rows =
            [(1, 3, 1), (2, 3, 2), (12, 3, 2), (13, 3, 3), (2, 1, 3), (16, 1, 3), (17, 1, 6)];
        for (terms, streams, want) in rows {
            assert_eq!(tile_rows(terms, streams), want, "{terms} {streams}");
        }
        assert_eq!(tile_rows(1, 0), 6);
        assert_eq!((tile_blocks(10, true, 4), tile_blocks(17, true, 4)), (2, 4));
        assert_eq!((tile_blocks(10, false, 4), tile_blocks(10, true, 1)), (4, 1));
        let at_a_time = |rows, terms, stride| strip_terms(rows, terms, stride, true);
        assert_eq!((at_a_time(100, 784, 3136), at_a_time(100, 1024, 4096)), (784, 128));
        assert_eq!((at_a_time(100, 2048, 8192), at_a_time(4, 2048, 8192)), (128, 8));
        assert_eq!((at_a_time(100, 512, 4096), at_a_time(4, 1024, 4096)), (128, 1024));
        assert_eq!(strip_terms(100, 2048, 8192, false), 2048);
        assert_eq!(order(100, 784, F32), Order::Strips);
        assert_eq!(order(784, 10, F32), Order::Bands(9792));
        assert_eq!(order(5000, 4000, F32), Order::Bands(4 * STRIP));
    }
}
