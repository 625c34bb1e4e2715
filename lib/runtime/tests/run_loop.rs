//! The run loop by itself.

use std::io::ErrorKind;
use std::io::{Read, Write};
use std::thread;
use std::time::Duration;

use mio::Interest;
use mio::net::UnixStream;
use rtmfp_runtime::{Performer, Ready, RunLoop, SourceId, Worker, clock};

const GUARD: Duration = Duration::from_secs(30);

#[derive(Default)]
struct State {
    seen: Vec<u32>,
    streams: Vec<(UnixStream, Option<SourceId>)>,
}

fn stop_late(run_loop: &mut RunLoop<State>) {
    run_loop.set_timer(clock::now() + GUARD, |_, _| panic!("the loop was not stopped"));
}

#[test]
fn a_thousand_tasks_from_other_threads_run_once_each_and_in_the_order_of_their_thread() {
    let mut run_loop = RunLoop::<State>::new().unwrap();
    stop_late(&mut run_loop);
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let performer = run_loop.performer();
            thread::spawn(move || {
                for i in 0..250 {
                    assert!(performer.perform(move |state, run_loop| {
                        state.seen.push(thread * 1000 + i);
                        if state.seen.len() == 1000 {
                            run_loop.stop();
                        }
                    }));
                }
            })
        })
        .collect();
    let mut state = State::default();
    run_loop.run(&mut state).unwrap();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    for thread in 0..4 {
        let own: Vec<_> = state.seen.iter().filter(|number| *number / 1000 == thread).collect();
        assert_eq!(own.len(), 250);
        assert!(own.is_sorted());
    }
}

#[test]
fn a_performer_whose_loop_has_gone_says_so() {
    let run_loop = RunLoop::<State>::new().unwrap();
    let performer = run_loop.performer();
    assert!(performer.perform(|_, _| {}));
    drop(run_loop);
    assert!(!performer.perform(|_, _| {}));
}

#[test]
fn tasks_of_a_worker_come_back_into_the_loop() {
    let mut run_loop = RunLoop::<State>::new().unwrap();
    stop_late(&mut run_loop);
    let worker = Worker::new("test", 2, 100).unwrap();
    for i in 0..100 {
        let performer: Performer<State> = run_loop.performer();
        worker
            .submit(move || {
                assert!(i != 50, "on purpose");
                performer.perform(move |state, run_loop| {
                    state.seen.push(i);
                    if state.seen.len() == 99 {
                        run_loop.stop();
                    }
                });
            })
            .unwrap();
    }
    let mut state = State::default();
    run_loop.run(&mut state).unwrap();
    state.seen.sort_unstable();
    assert!(state.seen.iter().copied().eq((0..100).filter(|i| *i != 50)));
}

/// Reads one byte a turn, and asks to be called again.
fn read_one(state: &mut State, run_loop: &mut RunLoop<State>, which: usize) {
    let (stream, id) = &mut state.streams[which];
    match stream.read(&mut [0]) {
        Ok(1) => {
            state.seen.push(which as u32);
            run_loop.again(id.unwrap(), Ready::READABLE);
        }
        Ok(_) => run_loop.deregister(stream, id.unwrap()),
        Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
    }
}

#[test]
fn sources_that_stop_at_their_budget_take_turns_and_lose_nothing() {
    let mut run_loop = RunLoop::<State>::new().unwrap();
    let mut state = State::default();
    for (which, len) in [5, 3].into_iter().enumerate() {
        let (mut writer, mut reader) = UnixStream::pair().unwrap();
        writer.write_all(&vec![0; len]).unwrap();
        let handler = move |state: &mut State, run_loop: &mut RunLoop<State>, ready: Ready| {
            assert!(ready.readable);
            read_one(state, run_loop, which);
        };
        let id = run_loop.register(&mut reader, Interest::READABLE, handler).unwrap();
        state.streams.push((reader, Some(id)));
    }
    while state.seen.len() < 8 {
        run_loop.turn(&mut state, Some(GUARD)).unwrap();
    }
    let turns: Vec<Vec<u32>> = state.seen[..6].chunks(2).map(|turn| turn.to_vec()).collect();
    for mut turn in turns {
        turn.sort_unstable();
        assert_eq!(turn, [0, 1]);
    }
    assert_eq!(state.seen[6..], [0, 0]);
    // Nothing is left: the next turn waits.
    run_loop.turn(&mut state, Some(Duration::from_millis(1))).unwrap();
    let turns = run_loop.stats().turns().count;
    run_loop.turn(&mut state, Some(Duration::from_millis(1))).unwrap();
    assert_eq!(state.seen.len(), 8);
    assert_eq!(run_loop.stats().turns().count, turns + 1);
}

#[test]
fn a_handler_can_remove_itself_and_others() {
    let mut run_loop = RunLoop::<State>::new().unwrap();
    let mut state = State::default();
    let mut writers = Vec::new();
    for which in 0..3 {
        let (mut writer, mut reader) = UnixStream::pair().unwrap();
        writer.write_all(b"x").unwrap();
        writers.push(writer);
        let handler = move |state: &mut State, run_loop: &mut RunLoop<State>, _: Ready| {
            state.seen.push(which);
            for (stream, id) in &mut state.streams {
                if let Some(id) = id.take() {
                    run_loop.deregister(stream, id);
                }
            }
        };
        let id = run_loop.register(&mut reader, Interest::READABLE, handler).unwrap();
        state.streams.push((reader, Some(id)));
    }
    run_loop.turn(&mut state, Some(GUARD)).unwrap();
    run_loop.turn(&mut state, Some(Duration::ZERO)).unwrap();
    assert_eq!(state.seen.len(), 1, "{:?}", state.seen);
}

#[test]
fn sources_that_take_long_leave_room_for_timers_and_others_come_first_in_the_next_turn() {
    let mut run_loop = RunLoop::<State>::new().unwrap();
    let mut state = State::default();
    let mut writers = Vec::new();
    for which in 0..3 {
        let (writer, mut reader) = UnixStream::pair().unwrap();
        let handler = move |state: &mut State, run_loop: &mut RunLoop<State>, _: Ready| {
            let end = clock::now() + Duration::from_millis(3);
            while clock::now() < end {}
            state.seen.push(which);
            run_loop.again(state.streams[which as usize].1.unwrap(), Ready::READABLE);
        };
        let id = run_loop.register(&mut reader, Interest::READABLE, handler).unwrap();
        run_loop.again(id, Ready::READABLE);
        state.streams.push((reader, Some(id)));
        writers.push(writer);
    }
    for _ in 0..4 {
        run_loop.set_timer(clock::now(), |state, _| state.seen.push(9));
        run_loop.turn(&mut state, Some(GUARD)).unwrap();
    }
    assert_eq!(state.seen, [0, 9, 1, 9, 2, 9, 0, 9]);
}

#[test]
fn tasks_for_later_run_after_handlers_and_timers_and_each_once() {
    let mut run_loop = RunLoop::<State>::new().unwrap();
    let mut state = State::default();
    run_loop.do_later(|state, run_loop| {
        state.seen.push(2);
        run_loop.do_later(|state, _| state.seen.push(3));
    });
    run_loop.set_timer(clock::now(), |state, _| state.seen.push(1));
    let cancelled = run_loop.set_timer(clock::now(), |state, _| state.seen.push(9));
    run_loop.cancel_timer(cancelled);
    run_loop.turn(&mut state, Some(GUARD)).unwrap();
    assert_eq!(state.seen, [1, 2]);
    run_loop.turn(&mut state, Some(GUARD)).unwrap();
    assert_eq!(state.seen, [1, 2, 3]);
}

#[test]
fn timers_never_fire_early_and_waiting_for_them_is_one_turn() {
    let mut run_loop = RunLoop::<State>::new().unwrap();
    let mut state = State::default();
    for micros in [50, 300, 1100, 2500] {
        let at = clock::now() + Duration::from_micros(micros);
        run_loop.set_timer(at, move |state, run_loop| {
            assert!(clock::now() >= at);
            state.seen.push(micros as u32);
            run_loop.stop();
        });
        let turns = run_loop.stats().turns().count;
        run_loop.run(&mut state).unwrap();
        assert_eq!(run_loop.stats().turns().count, turns + 1);
    }
    assert_eq!(state.seen, [50, 300, 1100, 2500]);
}
