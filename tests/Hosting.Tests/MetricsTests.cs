using System.Diagnostics.Metrics;
using System.Text;
using Archipelago.Runtime.Configuration;
using Archipelago.Runtime.Metrics;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.DependencyInjection;
using OpenTelemetry.Metrics;

namespace Archipelago.Hosting.Tests;

public sealed class MetricsTests
{
    [Fact]
    public void Callbacks_over_plain_counters_render_with_units_types_and_labels()
    {
        using var metrics = new MetricsRegistry(ownOnly: true);
        var hits = new PlainCounter();
        metrics.Counter("cached.hits", "{request}", "Reads served from pages.", () => hits.Value, new("flow", "a"), new("shard", 0));
        metrics.Counter("cached.hits", "{request}", "Reads served from pages.", () => 5, new("shard", 1), new("flow", "a"));
        metrics.Gauge("segment.free", "By", "Free\nmemory \\ pages.", () => 1.5e9);
        metrics.Gauge("dirty", "1", "Share.", () => double.NaN);
        hits.Add(41);
        hits.Increment();
        Dictionary<string, double> samples = PrometheusChecker.Check(metrics.RenderPrometheus());
        Assert.Equal(42, samples["archipelago_cached_hits_total{flow=\"a\",shard=\"0\"}"]);
        Assert.Equal(5, samples["archipelago_cached_hits_total{flow=\"a\",shard=\"1\"}"]);
        Assert.Equal(1.5e9, samples["archipelago_segment_free_bytes"]);
        Assert.Equal(double.NaN, samples["archipelago_dirty_ratio"]);
        Assert.Contains("# HELP archipelago_segment_free_bytes Free\\nmemory \\\\ pages.\n", metrics.RenderPrometheus(), StringComparison.Ordinal);
    }

    [Fact]
    public void Ordinary_instruments_of_the_meter_are_collected_too()
    {
        using var metrics = new MetricsRegistry(ownOnly: true);
        Counter<int> counter = metrics.Meter.CreateCounter<int>("opens");
        UpDownCounter<long> upDown = metrics.Meter.CreateUpDownCounter<long>("open");
        Gauge<float> gauge = metrics.Meter.CreateGauge<float>("load");
        Histogram<double> histogram = metrics.Meter.CreateHistogram<double>("flush", "s", "Flushes.");
        Histogram<long> plain = metrics.Meter.CreateHistogram("batch", "{request}", advice: new InstrumentAdvice<long> { HistogramBucketBoundaries = [1, 10] });
        counter.Add(2);
        counter.Add(3);
        upDown.Add(5);
        upDown.Add(-2);
        gauge.Record(7);
        gauge.Record(0.5f);
        histogram.Record(0.002, new KeyValuePair<string, object?>("op", "FLUSH"));
        histogram.Record(1000, new KeyValuePair<string, object?>("op", "FLUSH"));
        plain.Record(10);
        plain.Record(11);
        Dictionary<string, double> samples = PrometheusChecker.Check(metrics.RenderPrometheus());
        Assert.Equal(5, samples["archipelago_opens_total"]);
        Assert.Equal(3, samples["archipelago_open"]);
        Assert.Equal(0.5, samples["archipelago_load"]);
        Assert.Equal(0, samples["archipelago_flush_seconds_bucket{op=\"FLUSH\",le=\"0.001\"}"]);
        Assert.Equal(1, samples["archipelago_flush_seconds_bucket{op=\"FLUSH\",le=\"0.0025\"}"]);
        Assert.Equal(2, samples["archipelago_flush_seconds_bucket{op=\"FLUSH\",le=\"+Inf\"}"]);
        Assert.Equal(1000.002, samples["archipelago_flush_seconds_sum{op=\"FLUSH\"}"]);
        Assert.Equal(1, samples["archipelago_batch_bucket{le=\"10\"}"]);
    }

    [Fact]
    public void Labels_from_outside_are_escaped()
    {
        using var metrics = new MetricsRegistry(ownOnly: true);
        metrics.Gauge("x", null, "X.", () => 1, new("volume name", "a\"b\\c\nd"), new("__0", null), new("volume.name", "e"));
        Dictionary<string, double> samples = PrometheusChecker.Check(metrics.RenderPrometheus());
        Assert.Contains("archipelago_x{tag__0=\"\",volume_name=\"a\\\"b\\\\c\\nd;e\"}", samples.Keys);
    }

    [Fact]
    public void A_removed_series_is_gone_and_a_broken_callback_hides_no_other()
    {
        using var metrics = new MetricsRegistry(ownOnly: true);
        IDisposable gone = metrics.Gauge("volume.size", "By", "Size.", () => 1, new KeyValuePair<string, object?>("volume", "a"));
        metrics.Gauge("volume.size", "By", "Size.", () => 2, new KeyValuePair<string, object?>("volume", "b"));
        metrics.Gauge("broken", null, "Broken.", () => throw new InvalidOperationException());
        metrics.Gauge("later", null, "Later.", () => 3);
        Assert.Contains("volume=\"a\"", metrics.RenderPrometheus(), StringComparison.Ordinal);
        gone.Dispose();
        string page = metrics.RenderPrometheus();
        Dictionary<string, double> samples = PrometheusChecker.Check(page);
        Assert.DoesNotContain("volume=\"a\"", page, StringComparison.Ordinal);
        Assert.Equal(2, samples["archipelago_volume_size_bytes{volume=\"b\"}"]);
        Assert.Equal(3, samples["archipelago_later"]);
        Assert.True(samples["archipelago_metrics_callback_errors_total"] >= 1);
    }

    [Fact]
    public void Other_meters_of_the_same_name_count_unless_own_only()
    {
        using var shared = new MetricsRegistry();
        using var own = new MetricsRegistry(ownOnly: true);
        using var meter = new Meter(MetricsRegistry.MeterName);
        using var stranger = new Meter("Stranger");
        meter.CreateObservableGauge("elsewhere", () => 1);
        stranger.CreateObservableGauge("stranger", () => 1);
        Assert.Contains("archipelago_elsewhere 1\n", shared.RenderPrometheus(), StringComparison.Ordinal);
        Assert.DoesNotContain("stranger", shared.RenderPrometheus(), StringComparison.Ordinal);
        Assert.DoesNotContain("elsewhere", own.RenderPrometheus(), StringComparison.Ordinal);
        meter.Dispose();
        Assert.DoesNotContain("elsewhere", shared.RenderPrometheus(), StringComparison.Ordinal);
    }

    [Fact]
    public void A_flood_of_label_sets_is_bounded()
    {
        using var metrics = new MetricsRegistry(ownOnly: true);
        Counter<long> counter = metrics.Meter.CreateCounter<long>("flood");
        for (int i = 0; i < InstrumentState.MaxSeries + 10; i++)
        {
            counter.Add(1, new KeyValuePair<string, object?>("name", i));
        }

        Dictionary<string, double> samples = PrometheusChecker.Check(metrics.RenderPrometheus());
        Assert.Equal(10, samples["archipelago_flood_total{overflow=\"true\"}"]);
    }

    [Fact]
    public void Latencies_of_several_shards_render_as_one_histogram_with_exact_buckets()
    {
        using var metrics = new MetricsRegistry(ownOnly: true);
        LatencyHistogram[] shards = [new(), new()];
        foreach (LatencyHistogram shard in shards)
        {
            metrics.Latency("hop", "A hop.", shard, new KeyValuePair<string, object?>("op", "READ"));
        }

        long[] values = [0, 255, 256, 1023, 1024, 1_000_000, 100_000_000_000];
        for (int i = 0; i < values.Length; i++)
        {
            shards[i % 2].Record(values[i]);
        }

        Dictionary<string, double> samples = PrometheusChecker.Check(metrics.RenderPrometheus());
        Assert.Equal(2, samples["archipelago_hop_seconds_bucket{op=\"READ\",le=\"2.56E-07\"}"]);
        Assert.Equal(4, samples["archipelago_hop_seconds_bucket{op=\"READ\",le=\"1.024E-06\"}"]);
        Assert.Equal(7, samples["archipelago_hop_seconds_count{op=\"READ\"}"]);
        Assert.Equal(values.Sum() / 1e9, samples["archipelago_hop_seconds_sum{op=\"READ\"}"], 9);
    }

    [Fact]
    public async Task Otlp_sends_counters_and_latencies_to_the_configured_endpoint()
    {
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.Services.AddRoutingCore();
        builder.WebHost.UseKestrelCore().ConfigureKestrel(k => k.Listen(System.Net.IPAddress.Loopback, 0));
        await using WebApplication collector = builder.Build();
        var received = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        collector.MapPost("/v1/metrics", async context =>
        {
            using var body = new MemoryStream();
            await context.Request.Body.CopyToAsync(body);
            string text = Encoding.Latin1.GetString(body.ToArray());
            if (text.Contains("otlp.test.hits", StringComparison.Ordinal))
            {
                received.TrySetResult(text);
            }
        });
        await collector.StartAsync();

        using var metrics = new MetricsRegistry(ownOnly: true);
        metrics.Counter("otlp.test.hits", null, "Hits.", () => 1);
        var histogram = new LatencyHistogram();
        histogram.Record(5000);
        metrics.Latency("otlp.test.hop", "Hop.", histogram);
        Config config = ConfigLoader.Load(new ConfigSchema(MetricsOptions.Section), new ConfigSources
        {
            BuiltIn = $"[metrics]\notlp-endpoint={collector.Urls.First()}\notlp-protocol=http\notlp-interval=100ms",
        });
        using MeterProvider? provider = OtlpExport.Start(MetricsOptions.From(config), "test-instance", "1.2.3");
        string sent = await received.Task.WaitAsync(TimeSpan.FromSeconds(60));
        Assert.Contains("otlp.test.hop.bucket", sent, StringComparison.Ordinal);
        Assert.Contains("test-instance", sent, StringComparison.Ordinal);
    }

    [Fact]
    public void Without_an_endpoint_nothing_is_sent_and_a_bad_one_is_refused_with_its_place()
    {
        var schema = new ConfigSchema(MetricsOptions.Section);
        Config none = ConfigLoader.Load(schema, new ConfigSources());
        Assert.Null(OtlpExport.Start(MetricsOptions.From(none, null), "i", "v"));
        Assert.Equal("http://c:4317/", MetricsOptions.From(none, "http://c:4317").Endpoint!.AbsoluteUri);
        Assert.Contains("OTEL_EXPORTER_OTLP_ENDPOINT", Assert.Throws<ConfigException>(() => MetricsOptions.From(none, "c:4317")).Message, StringComparison.Ordinal);
        Config bad = ConfigLoader.Load(schema, new ConfigSources { BuiltIn = "[metrics]\notlp-endpoint = ftp://x" });
        Assert.Contains(":2: [metrics] otlp-endpoint: expected an http://", Assert.Throws<ConfigException>(() => MetricsOptions.From(bad)).Message, StringComparison.Ordinal);
    }
}
