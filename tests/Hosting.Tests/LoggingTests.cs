using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Archipelago.Runtime.Configuration;
using Archipelago.Runtime.Hosting;
using Archipelago.Runtime.Logging;
using Archipelago.Runtime.Metrics;
using Microsoft.Extensions.Logging;

namespace Archipelago.Hosting.Tests;

public sealed partial class LoggingTests
{
    private static string[] Logged(LogOptions options, Action<ILogger> log)
    {
        using var output = new MemoryStream();
        using (LoggingSetup setup = LoggingSetup.Create(options, output, new FixedClock()))
        {
            log(setup.Factory.CreateLogger("cached.destage"));
        }

        return Encoding.UTF8.GetString(output.ToArray()).Split('\n', StringSplitOptions.RemoveEmptyEntries);
    }

    [Fact]
    public void An_event_is_one_line_with_time_level_category_message_and_what_the_message_does_not_say()
    {
        string[] lines = Logged(new LogOptions(), l =>
        {
            using IDisposable? scope = l.BeginScope(new Dictionary<string, object?> { ["volume"] = "demo 1" });
            l.LogWarning("destage of {Object} took {Seconds} s", "a.0001", 1.5);
            l.LogDebug("not seen");
        });
        Assert.Equal(
            "2026-01-02T03:04:05.678901Z warning  cached.destage: destage of a.0001 took 1.5 s volume=\"demo 1\"",
            Assert.Single(lines));
    }

    [Fact]
    public void Line_breaks_from_outside_cannot_forge_a_line()
    {
        const string Name = "x\r\n<0>2026 info forged\u001b[31m\u2028y\"z\\";
        string line = Assert.Single(Logged(new LogOptions(), l =>
        {
            using IDisposable? scope = l.BeginScope(new Dictionary<string, object?> { ["scoped"] = Name });
            l.LogError(new IOException("one\ntwo"), "volume {Name}", Name);
        }));
        Assert.Contains("x\\r\\n<0>2026 info forged\\x1b[31m\\ny", line, StringComparison.Ordinal);
        Assert.Contains("y\\\"z\\\\\"", line, StringComparison.Ordinal);
        Assert.Contains("one\\ntwo", line, StringComparison.Ordinal);
        Assert.DoesNotContain('\u001b', line);
    }

    [Fact]
    public void Json_lines_parse_and_keep_types()
    {
        string line = Assert.Single(Logged(new LogOptions { Format = LogFormat.Json }, l =>
            l.LogInformation("{Count} {Ratio} {On} {Name} {level}", 7L, 0.5, true, "a\"b\n", "own")));
        JsonElement json = JsonDocument.Parse(line).RootElement;
        Assert.Equal("info", json.GetProperty("level").GetString());
        Assert.Equal("own", json.GetProperty("level_").GetString());
        Assert.Equal(7, json.GetProperty("Count").GetInt64());
        Assert.Equal(0.5, json.GetProperty("Ratio").GetDouble());
        Assert.True(json.GetProperty("On").GetBoolean());
        Assert.Equal("a\"b\n", json.GetProperty("Name").GetString());
        Assert.Equal("2026-01-02T03:04:05.678901Z", json.GetProperty("time").GetString());
    }

    [Fact]
    public void Under_systemd_each_line_begins_with_its_priority()
    {
        string[] lines = Logged(new LogOptions { PriorityPrefix = true, Level = LogLevel.Debug }, l =>
        {
            l.LogCritical("c");
            l.LogError("e");
            l.LogWarning("w");
            l.LogInformation("i");
            l.LogDebug("d");
        });
        Assert.Equal(["<2>", "<3>", "<4>", "<6>", "<7>"], lines.Select(l => l[..3]));
    }

    [Theory]
    [InlineData("8:1234", "socket:[1234]", true)]
    [InlineData("8:1234", null, true)]
    [InlineData("8:1234", "/dev/pts/0", false)]
    [InlineData("8:1234", "socket:[12345]", false)]
    [InlineData("", "socket:[1234]", false)]
    [InlineData(null, "socket:[1234]", false)]
    public void The_journal_is_recognised_by_the_inode_of_standard_error(string? variable, string? link, bool expected) =>
        Assert.Equal(expected, JournalStream.Matches(variable, link));

    [Fact]
    public void A_stuck_stream_blocks_nobody_and_drops_are_counted_and_said()
    {
        using var output = new StuckStream();
        using var writer = new LogWriter(output, new LogOptions { QueueLength = 16 });
        writer.Post(LogLevel.Information, "first");
        output.Entered.Wait(); // The writer now hangs in the stream, with an empty queue behind it.
        int accepted = Enumerable.Range(0, 100).Count(i => writer.Post(LogLevel.Information, $"line {i}"));
        Assert.Equal(16, accepted);
        Assert.Equal(84, writer.Dropped);
        output.Release.Set();
        Assert.True(writer.Flush(TimeSpan.FromSeconds(30)));
        string[] lines = output.Text.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal("first", lines[0]);
        Assert.Equal(Enumerable.Range(0, 16).Select(i => $"line {i}"), lines[1..17]);
        Assert.Contains("warning  archipelago.log: events were dropped: the log queue was full dropped=84 dropped_total=84", lines[17], StringComparison.Ordinal);
    }

    [Fact]
    public void Many_threads_lose_and_reorder_nothing_of_their_own()
    {
        const int Threads = 4;
        const int Each = 20_000;
        using var output = new MemoryStream();
        long accepted = 0;
        using (var writer = new LogWriter(output, new LogOptions { QueueLength = 256 }))
        {
            Thread[] threads = [.. Enumerable.Range(0, Threads).Select(t => new Thread(() =>
            {
                for (int i = 0; i < Each; i++)
                {
                    if (writer.Post(LogLevel.Information, $"t{t} {i}"))
                    {
                        Interlocked.Increment(ref accepted);
                    }
                }
            }))];
            Array.ForEach(threads, t => t.Start());
            Array.ForEach(threads, t => t.Join());
            Assert.Equal(Threads * Each, accepted + writer.Dropped);
        }

        Match[] lines = [.. PostedLine().Matches(Encoding.UTF8.GetString(output.ToArray())).Cast<Match>()];
        Assert.Equal(accepted, lines.Length);
        foreach (IGrouping<string, Match> thread in lines.GroupBy(m => m.Groups[1].Value))
        {
            int[] numbers = [.. thread.Select(m => int.Parse(m.Groups[2].Value, System.Globalization.CultureInfo.InvariantCulture))];
            Assert.Equal(numbers.Order(), numbers);
        }
    }

    [Fact]
    public void A_closed_stream_stops_nobody_and_is_counted()
    {
        var output = new MemoryStream();
        using var writer = new LogWriter(output, new LogOptions());
        output.Dispose();
        writer.Post(LogLevel.Information, "lost");
        Assert.True(writer.Flush(TimeSpan.FromSeconds(30)));
        Assert.Equal(1, writer.Failed);
    }

    [Fact]
    public void Drops_are_a_metric()
    {
        using var metrics = new MetricsRegistry(ownOnly: true);
        using LoggingSetup setup = LoggingSetup.Create(new LogOptions(), new MemoryStream());
        setup.AddMetrics(metrics);
        Assert.Equal(0, PrometheusChecker.Check(metrics.RenderPrometheus())["archipelago_log_dropped_total"]);
    }

    [Fact]
    public void The_section_gives_the_options()
    {
        Config config = ConfigLoader.Load(new ConfigSchema(LogOptions.Section), new ConfigSources { BuiltIn = "[log]\nlevel=debug\nformat=json\nqueue-length=64" });
        LogOptions options = LogOptions.From(config);
        Assert.Equal((LogLevel.Debug, LogFormat.Json, 64), (options.Level, options.Format, options.QueueLength));
    }

    [GeneratedRegex(@"^t(\d) (\d+)$", RegexOptions.Multiline)]
    private static partial Regex PostedLine();

    private sealed class FixedClock : IClock
    {
        public long BoottimeNanoseconds => 0;

        public long MonotonicNanoseconds => 0;

        public DateTimeOffset UtcNow => new DateTimeOffset(2026, 1, 2, 3, 4, 5, TimeSpan.Zero).AddMicroseconds(678901);
    }

    private sealed class StuckStream : MemoryStream
    {
        public ManualResetEventSlim Entered { get; } = new();

        public ManualResetEventSlim Release { get; } = new();

        public string Text => Encoding.UTF8.GetString(ToArray());

        public override void Write(byte[] buffer, int offset, int count)
        {
            Entered.Set();
            Release.Wait();
            base.Write(buffer, offset, count);
        }
    }
}
