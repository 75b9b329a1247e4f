using System.Diagnostics;
using System.Globalization;
using Xunit.Abstractions;

namespace Archipelago.Mapperd.Tests.Simulated;

/// <summary>
/// Random runs against the model, in virtual time. A failure names its seed: STORM_SEED=kind:seed runs that one alone and again exactly so, STORM_SEEDS=N and
/// STORM_FIRST=S runs others than the usual ones.
/// </summary>
public class SimulatedModelTests(ITestOutputHelper output)
{
    [Fact]
    public void All_content_is_what_the_model_says() => Run(12, new StormKind("plain"));

    [Fact]
    public void Whoever_is_killed_all_content_is_what_the_model_says() => Run(12, new StormKind("kills") { Kills = true });

    [Fact]
    public void Whoever_is_killed_over_a_cache_all_content_is_what_the_model_says() => Run(10, new StormKind("cached") { Kills = true, HasCache = true });

    [Fact]
    public void What_was_flushed_survives_a_loss_of_power() => Run(6, new StormKind("power") { HostsDie = true });

    [Fact]
    public void What_was_flushed_survives_a_loss_of_power_over_a_cache() => Run(6, new StormKind("powercached") { HostsDie = true, HasCache = true, Kills = true }, 105);

    [Fact]
    public void What_was_flushed_survives_a_store_that_loses_the_rest() => Run(8, new StormKind("storelost") { StoreLoses = true });

    [Fact]
    public void Two_hosts_find_what_the_other_has_left() => Run(8, new StormKind("hosts") { Hosts = 2, HasCache = true }, 63);

    [Fact]
    public void Two_hosts_find_what_the_other_has_left_when_it_was_killed() => Run(6, new StormKind("hostskills") { Hosts = 2, HasCache = true, Kills = true, HostsDie = true });

    [Fact]
    public void Maps_of_more_than_a_chunk_are_what_the_model_says() => Run(2, new StormKind("borders") { Borders = true, Rounds = 100 });

    [Fact]
    public void Whoever_is_killed_maps_of_more_than_a_chunk_are_what_the_model_says() => Run(2, new StormKind("borderkills") { Borders = true, Kills = true, Rounds = 100 });

    /// <param name="seeds">How many, from 1 on.</param>
    /// <param name="kind">Of which kind.</param>
    /// <param name="also">Others, which have shown a fault once.</param>
    private void Run(int seeds, StormKind kind, params int[] also)
    {
        int first = Number("STORM_FIRST") ?? 1;
        seeds = Number("STORM_SEEDS") ?? seeds;
        if (Environment.GetEnvironmentVariable("STORM_SEED") is { } only)
        {
            if (!only.StartsWith(kind.Name + ":", StringComparison.Ordinal)) return;
            (first, seeds) = (int.Parse(only.AsSpan(kind.Name.Length + 1), CultureInfo.InvariantCulture), 1);
        }

        var watch = Stopwatch.StartNew();
        var failures = new List<string>();
        var counts = new SortedDictionary<string, int>(StringComparer.Ordinal);
        long steps = 0, made = 0;
        bool isUsual = Environment.GetEnvironmentVariable("STORM_SEED") == null && Number("STORM_SEEDS") == null && Number("STORM_FIRST") == null;
        foreach (int seed in Enumerable.Range(first, seeds).Concat(isUsual ? also : []))
        {
            long started = watch.ElapsedMilliseconds;
            using var storm = new Storm(kind, seed);
            made += watch.ElapsedMilliseconds - started;
            try
            {
                storm.Run();
            }
            catch (Xunit.Sdk.XunitException failure)
            {
                failures.Add($"STORM_SEED={kind.Name}:{seed}: {failure.Message}");
                if (Environment.GetEnvironmentVariable("STORM_FAILURES") is { } file) File.AppendAllText(file, failures[^1] + "\n");
            }

            steps += storm.Steps;
            foreach (var (what, count) in storm.Counts) counts[what] = counts.GetValueOrDefault(what) + count;
        }

        output.WriteLine($"{kind.Name}: {seeds} seeds from {first} on, {steps} steps, {watch.Elapsed.TotalSeconds:f1} s ({made} ms set up), {failures.Count} failed; {string.Join(", ", counts.Select(count => $"{count.Key}: {count.Value}"))}");
        Assert.True(failures.Count == 0, $"{failures.Count} of {seeds} seeds failed: {string.Join("\n\n", failures.Take(5))}");
    }

    private static int? Number(string variable) => int.TryParse(Environment.GetEnvironmentVariable(variable), NumberStyles.None, CultureInfo.InvariantCulture, out int value) ? value : null;
}
