//! The one thread that runs the model for all others, as it does where there is a device: here on the CPU, with a model of the sample data.

use std::fs;
use std::sync::Arc;
use std::thread;

use arrow::array::ArrayRef;
use arrow::buffer::MutableBuffer;
use batch_infer::batch::{InputTensor, Layout};
use batch_infer::clock::SystemClock;
use batch_infer::contract::{Contract, TensorType};
use batch_infer::infer::device::Device;
use batch_infer::infer::{Model, ModelError, Owner, TorchModel, Watch};
use bytes::Bytes;

use crate::support::repository;

/// Threads that hand over batches.
const THREADS: usize = 4;

/// Batches that each of them hands over.
const BATCHES: usize = 50;

/// The sample model.
fn sample() -> TorchModel {
    let folder = repository().join("sample_data/models/fraud-detector/2");
    let contract = fs::read(folder.join("metadata.json")).unwrap();
    let contract = Contract::from_json(&contract, "metadata.json").unwrap();
    let model = Bytes::from(fs::read(folder.join("model.pt")).unwrap());
    TorchModel::load(&model, "model.pt", &contract, Device::Cpu).unwrap()
}

/// A watch without a limit.
fn watch() -> Arc<Watch> {
    Arc::new(Watch::new(None, Arc::new(SystemClock)))
}

/// A batch for it: numbers that depend on what they are for, in the layout given, and categories, all of which are the one given.
fn batch(rows: usize, layout: Layout, salt: usize, category: i64) -> Vec<InputTensor> {
    let number = |position: usize| f32::from(u8::try_from((position * 7 + salt * 31) % 251).unwrap()) / 100.0 - 1.0;
    let tensor = |dtype, columns: i64, layout, data| InputTensor {
        dtype,
        shape: vec![i64::try_from(rows).unwrap(), columns],
        layout,
        data,
    };
    let numbers: Vec<f32> = (0..rows * 7).map(number).collect();
    let categories = vec![category; rows * 2];
    vec![
        tensor(TensorType::Float32, 7, layout, MutableBuffer::from(numbers)),
        tensor(TensorType::Int64, 2, Layout::RowMajor, MutableBuffer::from(categories)),
    ]
}

/// What a model makes of a thread's batches: of many lengths, and laid out in both ways.
fn outputs(model: &dyn Model, thread: usize) -> Vec<Vec<ArrayRef>> {
    let batches = (0..BATCHES).map(|number| {
        let layout = if number % 2 == 0 {
            Layout::ColumnMajor
        } else {
            Layout::RowMajor
        };
        let mut inputs = batch(
            1 + (number * 13 + thread * 5) % 97,
            layout,
            number + thread * BATCHES,
            1,
        );
        let outputs = model.forward(&inputs).unwrap();
        // The memory of a batch is used again as soon as its results are there.
        inputs[0].data.as_slice_mut().fill(0xff);
        inputs[1].data.as_slice_mut().fill(0xff);
        outputs
    });
    batches.collect()
}

#[test]
fn threads_get_the_results_of_their_own_batches() {
    let direct = sample();
    let owner = Owner::start(sample(), watch()).unwrap();
    let found = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let owner = &owner;
                scope.spawn(move || outputs(owner, thread))
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect::<Vec<_>>()
    });
    for (thread, found) in found.iter().enumerate() {
        assert_eq!(*found, outputs(&direct, thread), "thread {thread}");
    }
}

#[test]
fn batch_on_which_the_model_throws_fails_alone_and_in_the_models_words() {
    let direct = sample();
    let owner = Owner::start(sample(), watch()).unwrap();
    let odd = batch(3, Layout::RowMajor, 0, 1_000_000);
    let expected = direct.forward(&odd).unwrap_err();
    let found = owner.forward(&odd).unwrap_err();
    assert!(matches!(found, ModelError::Forward { rows: 3, .. }), "{found}");
    assert_eq!(found.to_string(), expected.to_string());
    let fine = batch(3, Layout::RowMajor, 0, 1);
    assert_eq!(owner.forward(&fine).unwrap(), direct.forward(&fine).unwrap());
}
