using System.Diagnostics;
using Archipelago.Cached.Tests.Model;
using Xunit.Abstractions;

namespace Archipelago.Cached.Tests;

/// <summary>
/// Thousands of random runs against the model. A failure names its seed: set STORM_SEED=kind:seed to run that one alone, or
/// STORM_SEEDS to change their number.
/// </summary>
public sealed class StormTests(ITestOutputHelper output)
{
    [Fact]
    public void RandomRequestsAreLinearizable() => Run("plain", 400, new StormOptions());

    [Fact]
    public void BlockerErrorsLoseNothingAcknowledged() => Run("errors", 400, new StormOptions { Errors = true });

    [Fact]
    public void WhatWasFlushedSurvivesTheHost() => Run("host", 300, new StormOptions { Volatile = true });

    [Fact]
    public void WhatWasFlushedSurvivesTheHostDespiteErrors() => Run("hosterrors", 300, new StormOptions { Volatile = true, Errors = true });

    [Fact]
    public void KilledCacheLosesNothingAcknowledged() => Run("kill", 300, new StormOptions { Kills = 1, Placement = Placement.Apart });

    [Fact]
    public void RepeatedKillsAndErrorsLoseNothingAcknowledged() => Run("kills", 300, new StormOptions { Kills = 5, Errors = true, Volatile = true, Operations = 250, Placement = Placement.Apart });

    [Fact]
    public void PoliciesChangeUnderWayAndNothingIsLostOrStale() => Run("policies", 200, new StormOptions { Policies = true, Operations = 250 });

    [Fact]
    public void PoliciesChangeAmongErrorsAndWhatWasFlushedSurvivesTheHost() => Run("policyerrors", 150, new StormOptions { Policies = true, Errors = true, Volatile = true, Operations = 250 });

    [Fact]
    public void PoliciesChangeAndTheCacheIsKilled() => Run("policykills", 100, new StormOptions { Policies = true, Kills = 2, Operations = 250, Placement = Placement.Apart });

    [Fact]
    public void KilledBlockerIsAPause() => Run("blocker", 150, new StormOptions { BlockerKills = 2, Placement = Placement.Apart });

    [Fact]
    public void KilledClientLeavesNothingHalfDone() => Run("client", 150, new StormOptions { ClientKills = 2, Placement = Placement.Apart });

    [Fact]
    public void WhoeverIsKilledNothingAcknowledgedIsLost() =>
        Run("all", 150, new StormOptions { Kills = 1, BlockerKills = 1, ClientKills = 2, Errors = true, Policies = true, Operations = 300, Placement = Placement.Apart });

    private void Run(string kind, int seeds, StormOptions options)
    {
        string? only = Environment.GetEnvironmentVariable("STORM_SEED");
        if (only != null && !only.StartsWith(kind + ":", StringComparison.Ordinal)) return;
        if (Environment.GetEnvironmentVariable("STORM_SEEDS") is { } wanted) seeds = int.Parse(wanted, System.Globalization.CultureInfo.InvariantCulture);
        var (first, last) = only == null ? (1ul, (ulong)seeds) : (ulong.Parse(only.AsSpan(kind.Length + 1), System.Globalization.CultureInfo.InvariantCulture), 0ul);
        if (only != null) last = first;
        var watch = Stopwatch.StartNew();
        long steps = 0;
        Exception? failure = null;
        // A storm is one thread's, so each processor has one of its own.
        int count = only == null ? Environment.ProcessorCount : 1;
        var threads = Enumerable.Range(0, count).Select(i => new Thread(() =>
        {
            for (ulong seed = first + (ulong)i; seed <= last && failure == null; seed += (ulong)count)
            {
                try
                {
                    Interlocked.Add(ref steps, RunOne(kind, seed, options));
                }
                catch (Exception e)
                {
                    failure = e;
                }
            }
        })).ToArray();
        foreach (var thread in threads) thread.Start();
        foreach (var thread in threads) thread.Join();
        if (failure != null) throw failure;
        output.WriteLine($"{kind}: {last - first + 1} seeds, {steps} steps, {watch.Elapsed.TotalSeconds:f1} s");
    }

    private static long RunOne(string kind, ulong seed, StormOptions options)
    {
        using var storm = new Storm(seed, options);
        if (Environment.GetEnvironmentVariable("STORM_TRACE") is { } trace) File.WriteAllText($"{trace}.{Environment.CurrentManagedThreadId}", $"{kind}:{seed}");
        storm.Run();
        return storm.Rig.World.Steps;
    }
}
