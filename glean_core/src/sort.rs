//! Sorting, once: each type that is sorted by the standard library brings its own copy of it, of some 6 KB.

use std::cmp::Ordering;

/// Sorts by a comparison, and keeps the order of what is equal. For lists that nobody waits for.
pub fn by<T>(items: &mut Vec<T>, compare: impl Fn(&T, &T) -> Ordering) {
    let mut places: Vec<usize> = (0..items.len()).collect();
    sort_places(&mut places, &|a, b| compare(&items[a], &items[b]));
    let mut left: Vec<Option<T>> = std::mem::take(items).into_iter().map(Some).collect();
    items.extend(places.into_iter().filter_map(|place| left[place].take()));
}

/// Makes a map or a set of its entries. `collect` sorts them before it inserts them.
pub fn collect<C: Default + Extend<T>, T>(entries: impl IntoIterator<Item = T>) -> C {
    let mut all = C::default();
    all.extend(entries);
    all
}

fn sort_places(places: &mut [usize], compare: &dyn Fn(usize, usize) -> Ordering) {
    places.sort_by(|a, b| compare(*a, *b));
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_equal_keeps_its_order() {
        let mut items: Vec<(u32, u32)> = (0..1000).map(|index| (index * 7919 % 13, index)).collect();
        let mut expected = items.clone();
        expected.sort_by_key(|item| item.0);
        super::by(&mut items, |a, b| a.0.cmp(&b.0));
        assert_eq!(items, expected);
    }
}
