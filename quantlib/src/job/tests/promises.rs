//! What a job promises: the same bytes whatever the threads and the memory, errors that say where,
//! and nothing left behind.

use super::{Random, Tensor, model};
use crate::codec::{NonFinite, quantize};
use crate::dtype::DType;
use crate::error::ErrorKind;
use crate::job::{Job, JobOptions};
use crate::model::{Expr, ImportanceMatrix, ImportanceSource, Model, OutputTensor, Plan};
use crate::tensor::Encoding;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::AtomicBool;

fn tensor(name: &str, shape: &[usize], values: &[f32]) -> Tensor {
    Tensor {
        name: name.into(),
        dtype: DType::F32,
        shape: shape.to_vec(),
        data: values.iter().flat_map(|x| x.to_le_bytes()).collect(),
    }
}

fn floats(seed: u64, len: usize) -> Vec<f32> {
    let mut random = Random(seed);
    (0..len).map(|_| random.float()).collect()
}

fn output(name: &str, shape: &[usize], dtype: DType, source: Expr) -> OutputTensor {
    OutputTensor {
        name: name.into(),
        shape: shape.to_vec(),
        encoding: Encoding::Block(dtype),
        source,
        importance: None,
    }
}

fn plan(tensors: Vec<OutputTensor>) -> Plan {
    Plan {
        tensors,
        ..Plan::default()
    }
}

/// A model of a matrix for two experts, a long vector and a small matrix, with its plan: rows with
/// importance by expert, a byte copy, and two joined matrices.
fn example() -> (Model, Plan, ImportanceMatrix) {
    let model = model(vec![
        tensor("experts", &[2, 300, 512], &floats(1, 2 * 300 * 512)),
        tensor("vector", &[200_000], &floats(2, 200_000)),
        tensor("small", &[7, 32], &floats(3, 7 * 32)),
    ]);
    let mut matrix = ImportanceMatrix::default();
    let weights = (0..2 * 512).map(|i| 1.0 + (i % 77) as f32).collect();
    matrix.insert("experts", weights);
    let experts = OutputTensor {
        importance: Some("experts".into()),
        ..output(
            "experts",
            &[2, 300, 512],
            DType::Iq4Xs,
            Expr::input("experts"),
        )
    };
    let joined = Expr::Concat(vec![Expr::input("small"), Expr::input("small")]);
    let plan = plan(vec![
        experts,
        output("copied", &[200_000], DType::F32, Expr::input("vector")),
        output("halved", &[200_000], DType::F16, Expr::input("vector")),
        output("joined", &[14, 32], DType::Iq4Nl, joined),
    ]);
    (model, plan, matrix)
}

fn run(threads: usize, memory_limit: u64, out: &Path) -> Vec<u8> {
    let (model, plan, matrix) = example();
    let options = JobOptions {
        threads,
        memory_limit,
        importance: Some(&matrix),
        ..JobOptions::default()
    };
    let report = Job::new(&model, &plan).unwrap().run(out, options).unwrap();
    let bytes = std::fs::read(out).unwrap();
    assert_eq!(report.file_bytes, bytes.len() as u64);
    bytes
}

fn is_empty(dir: &Path) -> bool {
    std::fs::read_dir(dir).unwrap().next().is_none()
}

#[test]
fn threads_and_memory_do_not_change_the_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.gguf");
    let expected = run(1, 0, &out);
    for threads in [1, 2, 5] {
        for memory_limit in [100_000, 300_000, 1 << 20, 0] {
            assert!(
                run(threads, memory_limit, &out) == expected,
                "{threads} threads, {memory_limit} bytes"
            );
        }
    }
}

#[test]
fn the_file_holds_what_the_codecs_make() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.gguf");
    run(0, 0, &out);
    let (_, _, matrix) = example();
    let written = crate::format::open(&out).unwrap();
    let encode = |values: &[f32], cols, dtype, weights| {
        let quantized = quantize(values, cols, dtype, weights).unwrap();
        quantized.into_data()
    };
    let weights = matrix.weights("experts").unwrap();
    let experts = encode(
        &floats(1, 2 * 300 * 512),
        512,
        DType::Iq4Xs,
        weights.as_deref(),
    );
    assert!(written.read("experts").unwrap() == experts);
    let (vector, small) = (floats(2, 200_000), floats(3, 7 * 32));
    assert!(written.read("copied").unwrap() == encode(&vector, 200_000, DType::F32, None));
    assert!(written.read("halved").unwrap() == encode(&vector, 200_000, DType::F16, None));
    let joined = [&small[..], &small].concat();
    assert!(written.read("joined").unwrap() == encode(&joined, 32, DType::Iq4Nl, None));
}

#[test]
fn a_dry_run_tells_what_the_run_does() {
    let dir = tempfile::tempdir().unwrap();
    let (model, plan, matrix) = example();
    let job = Job::new(&model, &plan).unwrap();
    let dry = job.dry_run().unwrap();
    let options = JobOptions {
        importance: Some(&matrix),
        ..JobOptions::default()
    };
    let wet = job.run(dir.path().join("out"), options).unwrap();
    assert_eq!(dry.file_bytes, wet.file_bytes);
    assert_eq!(dry.bits_per_weight, wet.bits_per_weight);
    assert_eq!((dry.output, dry.seconds), (None, None));
    let first = &dry.tensors[0];
    assert_eq!(
        (first.from, first.to.clone()),
        (DType::F32, Encoding::Block(DType::Iq4Xs))
    );
    assert_eq!(first.bytes_in, 4 * 2 * 300 * 512);
    assert_eq!(first.bytes_out, 2 * 300 * 2 * 136);
}

#[test]
fn a_row_too_long_for_the_memory_says_which_limit_would_do() {
    let dir = tempfile::tempdir().unwrap();
    let model = model(vec![tensor("wide", &[2, 1 << 20], &floats(1, 2 << 20))]);
    let plan = plan(vec![output(
        "wide",
        &[2, 1 << 20],
        DType::Iq4Nl,
        Expr::input("wide"),
    )]);
    let job = Job::new(&model, &plan).unwrap();
    let run = |memory_limit| {
        let options = JobOptions {
            memory_limit,
            ..JobOptions::default()
        };
        job.run(dir.path().join("out"), options)
    };
    let error = run(1 << 20).unwrap_err();
    assert_eq!(
        (error.kind(), error.tensor()),
        (ErrorKind::Limit, Some("wide"))
    );
    let needed = error.to_string();
    let needed = needed.rsplit("limit to ").next().unwrap();
    let needed: u64 = needed.split(' ').next().unwrap().parse().unwrap();
    assert_eq!(run(needed - 1).unwrap_err().kind(), ErrorKind::Limit);
    assert!(is_empty(dir.path()));
    assert_eq!(run(needed).unwrap().threads, Some(1));
}

#[test]
fn weights_that_are_not_finite_are_named_or_made_zero() {
    let dir = tempfile::tempdir().unwrap();
    let mut values = floats(1, 5000 * 64);
    values[4321 * 64 + 17] = f32::NAN;
    values[4900 * 64] = f32::INFINITY;
    let broken = model(vec![tensor("w", &[5000, 64], &values)]);
    let plan = plan(vec![output(
        "w",
        &[5000, 64],
        DType::Iq4Nl,
        Expr::input("w"),
    )]);
    let job = Job::new(&broken, &plan).unwrap();
    let run = |non_finite, threads| {
        let options = JobOptions {
            threads,
            non_finite,
            memory_limit: 200_000,
            ..JobOptions::default()
        };
        job.run(dir.path().join("out"), options)
    };
    for threads in [1, 4] {
        let error = run(NonFinite::Refuse, threads).unwrap_err();
        assert_eq!(
            (error.kind(), error.tensor()),
            (ErrorKind::Misuse, Some("w"))
        );
        let text = error.to_string();
        assert!(
            text.starts_with("memory: tensor 'w': row 4321, column 17 is NaN"),
            "{text}"
        );
        assert!(is_empty(dir.path()));
    }
    run(NonFinite::Zero, 4).unwrap();
    values[4321 * 64 + 17] = 0.0;
    values[4900 * 64] = 0.0;
    let expected = quantize(&values, 64, DType::Iq4Nl, None).unwrap();
    let written = crate::format::open(dir.path().join("out")).unwrap();
    assert!(written.read("w").unwrap() == expected.data());
}

#[test]
fn a_break_or_the_flag_cancels_and_keeps_the_old_output() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    std::fs::write(&out, "old").unwrap();
    let (model, plan, matrix) = example();
    let job = Job::new(&model, &plan).unwrap();
    let flag = AtomicBool::new(true);
    let cancelled = job.run(
        &out,
        JobOptions {
            importance: Some(&matrix),
            cancel: Some(&flag),
            ..JobOptions::default()
        },
    );
    assert_eq!(cancelled.unwrap_err().kind(), ErrorKind::Cancelled);
    let mut calls = 0;
    let cancelled = job.run(
        &out,
        JobOptions {
            importance: Some(&matrix),
            progress: Some(&mut |_, _, _| {
                calls += 1;
                ControlFlow::Break(())
            }),
            ..JobOptions::default()
        },
    );
    assert_eq!(cancelled.unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(calls, 1);
    assert_eq!(std::fs::read(&out).unwrap(), b"old");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn progress_ends_with_everything() {
    let dir = tempfile::tempdir().unwrap();
    let (model, plan, matrix) = example();
    let mut told = Vec::new();
    let options = JobOptions {
        importance: Some(&matrix),
        progress: Some(&mut |done, total, name| {
            told.push((done, total, name.to_owned()));
            ControlFlow::Continue(())
        }),
        ..JobOptions::default()
    };
    let report = Job::new(&model, &plan)
        .unwrap()
        .run(dir.path().join("out"), options)
        .unwrap();
    let (done, total, name) = told.last().unwrap();
    assert_eq!((*done, *total), (report.bytes_out, report.bytes_out));
    assert!(plan.tensors.iter().any(|tensor| tensor.name == *name));
    assert!(told.is_sorted_by_key(|(done, _, _)| *done));
}

#[test]
fn impossible_plans_are_refused_before_anything_is_written() {
    let model = model(vec![
        tensor("w", &[4, 48], &floats(1, 4 * 48)),
        Tensor {
            name: "ids".into(),
            dtype: DType::I32,
            shape: vec![64],
            data: vec![0; 256],
        },
    ]);
    let refused = |tensor: OutputTensor| {
        let plan = plan(vec![tensor]);
        let error = Job::new(&model, &plan).unwrap_err();
        assert!(error.tensor().is_some(), "{error}");
        error.kind()
    };
    let w = || Expr::input("w");
    assert_eq!(
        refused(output("w", &[4, 48], DType::Iq4Nl, w())),
        ErrorKind::Misuse
    );
    assert_eq!(
        refused(output("w", &[48, 4], DType::F32, w())),
        ErrorKind::Malformed
    );
    assert_eq!(
        refused(output("w", &[4, 48], DType::F32, Expr::input("v"))),
        ErrorKind::Malformed
    );
    assert_eq!(
        refused(output("ids", &[64], DType::Iq4Nl, Expr::input("ids"))),
        ErrorKind::Unsupported
    );
}

#[test]
fn importance_that_the_plan_names_must_be_there() {
    let dir = tempfile::tempdir().unwrap();
    let (model, plan, _) = example();
    let error = Job::new(&model, &plan)
        .unwrap()
        .run(dir.path().join("out"), JobOptions::default())
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.tensor()),
        (ErrorKind::Misuse, Some("experts"))
    );
}

#[test]
fn narrowed_floats_stay_within_f16() {
    use half::f16;
    let values = [
        1e5,
        -1e5,
        f32::INFINITY,
        f32::NEG_INFINITY,
        1e-9,
        -1e-9,
        0.0,
        -0.0,
        1.5,
        f32::NAN,
    ];
    let model = model(vec![tensor("wide", &[values.len()], &values)]);
    let source = Expr::input("wide").narrow();
    let plan = plan(vec![output("narrow", &[values.len()], DType::F16, source)]);
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.gguf");
    let job = Job::new(&model, &plan).unwrap();
    job.run(&out, JobOptions::default()).unwrap();
    let written = crate::format::open(&out).unwrap().read("narrow").unwrap();
    let (halves, _) = written.as_chunks::<2>();
    let found: Vec<_> = halves.iter().map(|x| f16::from_le_bytes(*x)).collect();
    let (most, least) = (f16::MAX, f16::from_bits(1));
    let expected = [
        most,
        -most,
        f16::INFINITY,
        f16::NEG_INFINITY,
        least,
        -least,
        f16::ZERO,
        f16::NEG_ZERO,
        f16::from_f32(1.5),
    ];
    let bits = |all: &[f16]| all.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&found[..expected.len()]), bits(&expected));
    assert!(found[expected.len()].is_nan());
}
