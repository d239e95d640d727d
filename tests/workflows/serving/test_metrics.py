"""The parser of Prometheus reads the metrics back from the text."""

from prometheus_client.parser import text_string_to_metric_families

from hf_vitret.workflows.serving.metrics import BATCH_SIZES, SECONDS, Metrics


def test_the_parser_reads_what_was_counted() -> None:
    metrics = Metrics()
    seconds = [0.001, 0.005, 0.02, 3.0, 99.0]
    for each in seconds:
        metrics.add_request("/search", 200, each)
    metrics.add_request("/search", 413, None)
    metrics.add_request("other", 404, None)
    for size in (1, 3, 4, 500):
        metrics.add_batch(size)
    families = {
        family.name: family for family in text_string_to_metric_families(metrics.text({"waiting": ("Now.", 3)}))
    }
    counts = {
        (sample.labels["path"], sample.labels["status"]): sample.value
        for sample in families["hf_vitret_requests"].samples
    }
    assert counts == {("/search", "200"): 5, ("/search", "413"): 1, ("other", "404"): 1}
    for name, values, bounds in (("search_seconds", seconds, SECONDS), ("batch_images", [1, 3, 4, 500], BATCH_SIZES)):
        family = families[f"hf_vitret_{name}"]
        assert family.type == "histogram"
        buckets = {
            float(sample.labels["le"]): sample.value for sample in family.samples if sample.name.endswith("_bucket")
        }
        expected = {bound: sum(value <= bound for value in values) for bound in (*bounds, float("inf"))}
        assert buckets == expected
        others = {sample.name.rsplit("_", 1)[1]: sample.value for sample in family.samples if not sample.labels}
        assert others == {"sum": sum(values), "count": len(values)}
    assert (families["waiting"].type, families["waiting"].samples[0].value) == ("gauge", 3)
