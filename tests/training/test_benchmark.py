from gecko_hf.training.benchmark import StepTimes, mixed_rows, time_steps


def test_three_ways_are_timed_on_the_same_batches(tiny_model):
    seen = []
    times = time_steps(tiny_model, 4, 2, 1, lambda done, total: seen.append((done, total)))
    assert min(times.stock, times.gecko, times.chunked) > 0
    assert times.tokens > 3 * 4 * 3
    assert seen == [(1, 2), (2, 2)]


def test_ratios_are_to_the_stock_step():
    times = StepTimes(stock=2.0, gecko=2.02, chunked=1.25, tokens=100.0)
    assert times.loss_ratio == 1.01
    assert times.throughput_ratio == 1.6


def test_rows_are_the_same_for_a_seed_and_of_mixed_length():
    assert mixed_rows(8, 1) == mixed_rows(8, 1)
    lengths = sorted(len(p.split()) for p in mixed_rows(64, 1)[1])
    assert lengths[-1] > 3 * lengths[len(lengths) // 4]
