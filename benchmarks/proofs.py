"""What an issue asked for that no figure shows: a claim, and the tests that would fail if it did not hold."""

from __future__ import annotations

PROOFS: tuple[tuple[int, str, tuple[str, ...]], ...] = (
    (
        2,
        "any chunking, scheduler, number of threads: the same bits",
        ("test_biophysical.py::test_any_", "test_biophysical.py::test_threads_"),
    ),
    (2, "worker processes change no bit", ("test_distributed.py::test_workers_change_no_bit",)),
    (2, "`import xsentinel` leaves torch, rasterio, matplotlib alone", ("test_house.py::test_import_is_light",)),
    (3, "kernels of filling are their slow twins", ("test_kernels_gapfill.py::test_fill_equals_slow_twin",)),
    (3, "valid dates stay to the bit", ("test_kernels_gapfill.py::test_valid_dates_stay",)),
    (
        3,
        "composites and fillings are the same for any chunking",
        ("test_composite.py::test_any_chunking", "test_gapfill.py::test_any_chunking"),
    ),
    (3, "percentiles equal numpy's", ("test_kernels_histogram.py::test_percentiles_equal_numpy",)),
    (
        4,
        "tiles give what the whole scene gives, mean and σ, any chunking",
        ("test_predict.py::test_any_chunking", "test_predict.py::test_the_whole_scene"),
    ),
    (4, "a thinned sample is the module with its masks", ("test_models_folded.py::test_each_sample_is_the_module_with_its_masks",)),
    (4, "the declared radius is the measured one, every network", ("test_models_networks.py::test_the_declared_radius",)),
    (4, "weights with a wrong bit are refused", ("test_blocks_model.py::test_one_bit_is_wrong",)),
    (5, "one scene, the same through SAFE, zip, STAC, EOPF, GeoTIFF", ("test_same_scene.py::test_same_reflectance_and_lai",)),
    (5, "more than 40 hostile inputs, each refused in words", ("test_hostile.py",)),
    (5, "what is written comes back to the bit", ("test_io_write.py::test_maps_come_back_to_the_bit",)),
    (
        6,
        "killed at random moments and resumed: the same bytes",
        ("test_batch.py::test_killed_at_random", "test_batch.py::test_workers_killed"),
    ),
    (
        6,
        "full disk, read-only store, damaged chunks, object store",
        (
            "test_batch.py::test_a_full_disk",
            "test_batch.py::test_a_read_only",
            "test_batch.py::test_a_damaged_chunk",
            "test_batch.py::test_object_store",
        ),
    ),
    (7, "a simulated block is a part of the whole, to the bit", ("test_simulate.py::test_a_block_is_a_part",)),
    (8, "crop maps are the same for any chunking", ("test_crops.py::test_lazy_maps_are_the_same",)),
    (8, "scores are scikit-learn's", ("test_accuracy.py",)),
    (9, "parameter counts of the paper's Table 2, exactly", ("test_models_landcover.py::test_as_many_parameters",)),
    (9, "killed and resumed training: the same losses", ("test_training_landcover.py",)),
    (10, "the same for any tiles, with samples", ("test_lai_fusion.py::test_any_tiles_give_the_same",)),
    (11, "diverged pixels are NaN and flagged; numpy = dask", ("test_forecast.py",)),
    (
        12,
        "parcels: exactextract says the same; any chunking",
        ("test_parcels.py::test_exactextract", "test_parcels.py::test_lazy_is_the_same"),
    ),
    (12, "every notebook runs from top to bottom", ("test_notebooks.py",)),
)
"""Issue, claim, tests: a file, or the beginning of tests' names in it."""

FILES = tuple(sorted({t.partition("::")[0] for _, _, tests in PROOFS for t in tests}))
