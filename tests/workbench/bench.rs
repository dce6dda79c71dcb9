//! `relgrad bench`.

use crate::{refusal, relgrad, stdout};

/// `relgrad bench --json` on small cases: its lines.
fn bench(args: &[&str]) -> Vec<serde_json::Value> {
    let all = [&["bench", "--budget", "0.001", "--json"], args].concat();
    let text = stdout(&relgrad(&all));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn bench_prints_a_line_for_each_case() {
    let all = ["--dim", "3,17", "--batch", "1,4", "--layers", "1,2"];
    let mut seen = std::collections::HashSet::new();
    for (gradient, optimizers) in [
        ("relative", "sgd,adam,natural,none"),
        ("transposed", "sgd,adam,none"),
        ("ordinary", "sgd,adam,none"),
    ] {
        let more = ["--gradient", gradient, "--optimizer", optimizers, "--dtype", "f32,f64"];
        for row in bench(&[&all[..], &more].concat()) {
            let number = |key: &str| row[key].as_f64().unwrap_or_else(|| panic!("{key} of {row}"));
            for key in ["ms_median", "ms_min", "n", "gflops", "params_mib"] {
                assert!(number(key) > 0.0, "{key} of {row}");
            }
            assert!(number("ms_min") <= number("ms_median") && number("n") >= 5.0);
            assert_eq!((&row["peer"], &row["threads"]), (&"relgrad".into(), &1.into()));
            for key in ["limit_ms", "share", "bound"] {
                assert!(row[key].is_null(), "{key} was not measured: {row}");
            }
            if cfg!(target_os = "linux") {
                assert!(number("other_cpu") >= 0.0);
                assert!(number("rss_peak_mib") >= number("rss_base_mib"));
            }
            let case = ["variant", "dtype", "D", "L", "batch", "level"].map(|k| row[k].to_string());
            assert!(case[0].starts_with(&format!("\"{gradient}_")), "{row}");
            assert!(seen.insert(case), "twice: {row}");
        }
    }
    assert_eq!(seen.len(), (4 + 3 + 3) * 2 * 8);
}

#[test]
fn bench_judges_by_measured_limits() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("limits.json");
    let file = file.to_str().unwrap();
    let limits = bench(&["--roofline"]);
    let [limits] = &limits[..] else { panic!("one object, not {limits:?}") };
    let peaks = limits["peaks"].as_array().unwrap();
    assert_eq!(peaks.len(), 2 * relgrad::Level::available().count());
    assert!(peaks.iter().all(|p| p["gflops"].as_f64().unwrap() > 0.0), "{limits}");
    let memories = limits["memories"].as_array().unwrap();
    assert!(memories.iter().any(|m| m["memory"] == "dram" && m["capacity"].is_null()));
    for memory in memories {
        for key in ["read_gbs", "update_gbs", "copy_gbs"] {
            assert!(memory[key].as_f64().unwrap() > 0.0, "{memory}");
        }
    }

    // The first layer needs three products, the others four.
    std::fs::write(file, limits.to_string()).unwrap();
    let rows = bench(&["--dim", "64", "--batch", "100", "--limits", file, "--level", "scalar"]);
    let peak = peaks.iter().find(|p| p["level"] == "scalar" && p["dtype"] == "f32").unwrap();
    let expected = 14.0 * 100.0 * 64.0 * 64.0 / peak["gflops"].as_f64().unwrap() / 1e6;
    let [limit, share, median] =
        ["limit_ms", "share", "ms_median"].map(|key| rows[0][key].as_f64().unwrap());
    assert_eq!(rows[0]["bound"], "flops");
    assert!((limit - expected).abs() < 1e-4 * expected, "{limit} {expected}");
    assert!((share - limit / median).abs() < 1e-3, "{share} {limit} {median}");
}

/// The plan of each case, for the rows at hand whatever the memory is for.
#[test]
fn bench_prints_plans() {
    let sizes = ["--dim", "160", "--batch", "1,139,140", "--optimizer", "natural"];
    for more in [&[][..], &["--max-batch", "256"]] {
        let plans = bench(&[&sizes[..], &["--plan"], more].concat());
        let routes: Vec<_> = plans.iter().map(|plan| plan["route"].as_str().unwrap()).collect();
        assert_eq!(routes, ["rows", "summed", "lanes"], "{more:?}");
        assert_eq!(plans[0]["update"], "from end to end of W");
        assert!(plans[2]["forward"].as_str().unwrap().starts_with("chains"), "{plans:?}");
    }
    let plans = stdout(&relgrad(&["bench", "--plan", "--dim", "784", "--batch", "10"]));
    assert!(plans.contains("route: rows") && plans.contains("bands of 2 x "), "{plans}");
}

#[test]
fn bench_refuses_the_whole_product() {
    let both = ["--dim", "4", "--optimizer", "adam,natural", "--gradient", "ordinary"];
    for (args, says) in [
        (&both[..], "natural"),
        (&["--dim", "0"], "dim"),
        (&["--dim", "4", "--threads", "0"], "threads"),
        (&["--roofline", "--threads", "0"], "threads"),
        (&["--dim", "4", "--level", "sse9"], "scalar"),
        (&["--dim", "4", "--budget", "0"], "budget"),
        (&["--dim", "4", "--batch", "9", "--max-batch", "8"], "--max-batch 8"),
        (&["--dim", "4", "--limits", "nowhere.json"], "nowhere.json"),
        (&[], "--dim"),
    ] {
        let text = refusal(&[&["bench"], args].concat());
        assert!(text.contains(says), "{args:?}: {text}");
    }
}

#[test]
fn bench_names_activations_but_the_usual() {
    let activations = ["--activation", "smooth_leaky_relu:0.01", "--activation", "tanh_mixture:3"];
    let rows = bench(&[&["--dim", "4", "--budget", "1e-3"][..], &activations].concat());
    let variants: Vec<_> = rows.iter().map(|row| row["variant"].as_str().unwrap()).collect();
    assert_eq!(variants, ["relative_adam", "relative_adam tanh_mixture:3"]);
}
