//! `relgrad verify`.

use std::collections::BTreeSet;

use crate::{emulated, json, relgrad, stdout};

#[test]
fn this_machine_computes_the_bits_of_all_others() {
    let threads = if emulated() { 1 } else { 2 };
    let object = json(&["verify", "--threads", &threads.to_string(), "--json"]);
    assert_eq!(object["different"], 0);
    let rows = object["rows"].as_array().unwrap();
    let set = |key: &str| rows.iter().map(|r| r[key].to_string()).collect::<BTreeSet<_>>();
    assert_eq!((set("case").len(), set("precision").len(), set("threads").len()), (5, 2, threads));
    assert_eq!(rows.len(), 5 * 2 * threads * set("level").len());
    // No two of the runs are the same, and the page has what each should be.
    assert_eq!((set("hash"), set("hash").len()), (set("expected"), 10));
    let page = include_str!("../../docs/reliability.md");
    let missing = |r: &&serde_json::Value| !page.contains(r["expected"].as_str().unwrap());
    assert!(rows.iter().find(missing).is_none());
    assert!(rows.iter().all(|r| (r["hash"] == r["expected"]) == r["equal"].as_bool().unwrap()));

    let table = stdout(&relgrad(&["verify", "--threads", "1"]));
    assert_eq!(table.lines().count(), 2 + 5 * 2);
}
