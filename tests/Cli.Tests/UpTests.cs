using Xunit;

namespace Archipelago.Cli.Tests;

/// <summary>`up` as a newcomer uses it, with the real executable and real clients.</summary>
public sealed class UpTests : IDisposable
{
    private readonly Chain _chain = new();

    public void Dispose() => _chain.Dispose();

    [Fact]
    public async Task The_embedded_default_serves_a_volume_that_fio_verifies_and_ends_in_order()
    {
        var up = _chain.Start(["up", .. Chain.Small]);
        _chain.WaitForLog(_chain.Uri("demo"));
        _chain.Fio("demo", "--rw=randrw").Good();

        var second = _chain.Run("up");
        Assert.Equal(1, second.Code);
        Assert.Contains("EBUSY", second.Error, StringComparison.Ordinal);
        Assert.Contains($"{up.Id}", second.Error, StringComparison.Ordinal);

        var status = _chain.Run("status", "--json").Good().Json;
        Assert.True(status.GetProperty("running").GetBoolean());
        Assert.Equal(up.Id, status.GetProperty("processes")[0].GetProperty("pid").GetInt32());
        Assert.All(status.GetProperty("ports").EnumerateArray(), port => Assert.Equal("alive", port.GetProperty("state").GetString()));
        Assert.Equal(0, status.GetProperty("processes")[0].GetProperty("report").GetProperty("sections").GetProperty("nbd").GetProperty("connections").GetInt64());
        Assert.Matches(@"UPTIME +CLIENTS +PEERS *\n.* 0  ", _chain.Run("status").Good().Output);
        Assert.True(_chain.Run("cache", "stats", "--json").Good().Json.GetProperty("writes").GetInt64() > 0);
        Assert.True(_chain.Run("segment", "info", "--json").Good().Json.GetProperty("pages").GetInt64() > 8192);
        Assert.True(_chain.Run("segment", "fsck", "--json").Good().Json.GetProperty("clean").GetBoolean());
        Assert.Equal(System.Text.Json.JsonValueKind.Array, _chain.Run("segment", "requests", "--json").Good().Json.ValueKind);

        // Hops within a process count as those between processes do.
        using (var control = new Archipelago.Runtime.Control.ControlClient(Path.Combine(_chain.State, "control.sock")))
        {
            string metrics = await control.GetTextAsync("/metrics");
            Assert.Matches("(?m)^archipelago_cache_writes_total [1-9]", metrics);
            foreach (var (peer, op) in (IEnumerable<(string, string)>)[("filed", "write"), ("cached", "write"), ("mapperd", "open"), ("vlmcd", "write")])
                Assert.Matches($"(?m)^archipelago_peer_requests_total{{(?=[^}}]*peer=\"{peer}\")(?=[^}}]*op=\"{op}\")[^}}]*}} [1-9]", metrics);
        }

        _chain.Run("down").Good();
        up.WaitForExit();
        Assert.Equal(0, up.ExitCode);
        Assert.False(Xseg.Memory.Segment.Exists(_chain.Segment));
        Assert.Equal(1, _chain.Run("status").Code);
    }

    [Fact]
    public void A_start_shows_how_to_attach_to_the_first_volume_and_how_many_more_there_are()
    {
        var first = _chain.Start(["up", .. Chain.Small]);
        foreach (string volume in (string[])["vm1", "vm2"]) _chain.Run("volume", "create", volume, "16M").Good();
        _chain.Run("down").Good();
        first.WaitForExit();
        _chain.Start(["up", .. Chain.Small]);
        _chain.WaitForLog("and 2 more:");
        Assert.Contains("volume demo:", _chain.Log, StringComparison.Ordinal);
        Assert.DoesNotContain("volume vm1:", _chain.Log, StringComparison.Ordinal);
    }

    [Fact]
    public void Volumes_are_created_listed_resized_and_deleted()
    {
        _chain.Start(["up", .. Chain.Small]);
        _chain.Run("volume", "create", "vm1", "16M").Good();
        var names = _chain.Run("volume", "list", "--json").Good().Json.GetProperty("volumes").EnumerateArray().Select(v => v.GetProperty("name").GetString());
        Assert.Equal(["demo", "vm1"], names);
        Assert.Contains("vm1", _chain.Run("volume", "list").Good().Output, StringComparison.Ordinal);

        var again = _chain.Run("volume", "create", "vm1", "16M");
        Assert.Equal(1, again.Code);
        Assert.Contains("EEXIST", again.Error, StringComparison.Ordinal);

        Assert.Equal(32 << 20, _chain.Run("volume", "resize", "vm1", "32M", "--json").Good().Json.GetProperty("size").GetInt64());
        Assert.Equal(1, _chain.Run("volume", "resize", "vm1", "8M").Code);
        _chain.Run("volume", "resize", "vm1", "8M", "--shrink").Good();
        Assert.Equal($"{8 << 20}", _chain.Execute("nbdinfo", "--size", _chain.Uri("vm1")).Good().Output.Trim());
        _chain.Run("volume", "delete", "vm1").Good();
        Assert.Contains("ENOENT", _chain.Run("volume", "info", "vm1").Error, StringComparison.Ordinal);
        Assert.Equal(2, _chain.Run("volume", "create", "x", "1Q").Code);
    }

    [Fact]
    public void What_was_flushed_before_kill_9_is_there_after_the_next_start()
    {
        var first = _chain.Start(["up", .. Chain.Small]);
        _chain.Fio("demo", "--rw=write", "--do_verify=0", "--end_fsync=1").Good();
        Chain.Signal(first, Chain.SigKill);
        first.WaitForExit();
        Assert.True(Xseg.Memory.Segment.Exists(_chain.Segment));
        Assert.Contains("DeadPort", _chain.Run("segment", "fsck").Output, StringComparison.Ordinal);
        Assert.Contains("takes it over", _chain.Run("status").Output, StringComparison.Ordinal);

        _chain.Start(["up", .. Chain.Small]);
        _chain.WaitForLog("segment of a former run found");
        _chain.Fio("demo", "--rw=read", "--verify_only=1").Good();
        _chain.Run("down").Good();
    }

    [Fact]
    public void Ports_of_killed_clients_show_as_one_line_and_are_gone_after_the_next_start()
    {
        int Operators() => _chain.Run("segment", "ports", "--json").Good().Json.EnumerateArray().Count(p => p.GetProperty("name").GetString()!.StartsWith("operator.", StringComparison.Ordinal));
        for (int death = 0; death < 2; death++)
        {
            var up = _chain.Start(["up", .. Chain.Small]);
            Assert.Equal(1, Operators());
            Chain.Signal(up, Chain.SigKill);
            up.WaitForExit();
        }

        string status = _chain.Run("status").Output;
        Assert.DoesNotContain("operator.", status, StringComparison.Ordinal);
        Assert.Contains("1 port of a dead client", status, StringComparison.Ordinal);
        Assert.Contains("filed.0", status, StringComparison.Ordinal);
        Assert.Contains("operator.", _chain.Run("segment", "ports").Good().Output, StringComparison.Ordinal);
    }

    [Fact]
    public void Two_quick_deaths_stop_restarts_until_an_operator_clears_them()
    {
        using var chain = new Chain { CountsQuickDeaths = true };
        for (int death = 0; death < 2; death++)
        {
            var up = chain.Start(["up", "--set", "segment.quick-death=1h", .. Chain.Small]);
            if (death == 0) chain.Fio("demo", "--rw=write", "--do_verify=0", "--end_fsync=1").Good();
            Chain.Signal(up, Chain.SigKill);
            up.WaitForExit();
        }

        var refused = chain.Run(["up", "--set", "segment.quick-death=1h", .. Chain.Small]);
        Assert.Equal(1, refused.Code);
        Assert.Contains("--clear-deaths", refused.Error, StringComparison.Ordinal);
        Assert.Contains("EAGAIN", refused.Error, StringComparison.Ordinal);
        Assert.Contains("restarts are stopped", chain.Run("segment", "fsck").Output, StringComparison.Ordinal);
        chain.Run("segment", "fsck", "--clear-deaths");
        chain.Start(["up", .. Chain.Small]);
        chain.Fio("demo", "--rw=read", "--verify_only=1").Good();
        chain.Run("down").Good();
    }

    [Fact]
    public void The_segment_is_locked_in_RAM_if_the_limit_allows_and_info_says_what_there_is()
    {
        // Root's limit is none, but for the capability.
        string drop = Environment.UserName == "root" ? "setpriv --bounding-set=-ipc_lock " : "";
        string[] few = ["-c", $"ulimit -S -l 64; exec {drop}\"$0\" \"$@\"", Chain.Executable, "up", .. Chain.Small];
        var refused = _chain.Execute("/bin/bash", [.. few, "--set", "segment.lock=yes"]);
        Assert.Equal(1, refused.Code);
        Assert.Contains("LimitMEMLOCK", refused.Error, StringComparison.Ordinal);
        _chain.StartProgram("/bin/bash", few);
        _chain.WaitForLog("segment memory:");
        _chain.WaitForLog("cannot be locked in RAM");
        var info = _chain.Run("segment", "info", "--json").Good().Json;
        var memory = info.GetProperty("memory")[0];
        // Touched at creation.
        Assert.True(memory.GetProperty("residentBytes").GetInt64() > info.GetProperty("bytes").GetInt64() * 9 / 10, memory.ToString());
        Assert.Equal(0, memory.GetProperty("lockedBytes").GetInt64());
        Assert.Contains("in RAM, process", _chain.Run("segment", "info").Good().Output, StringComparison.Ordinal);
        _chain.Run("down").Good();
    }

    [Fact]
    public void A_term_signal_drains_as_down_does()
    {
        var up = _chain.Start(["up", .. Chain.Small]);
        _chain.Fio("demo", "--rw=write", "--do_verify=0").Good();
        Chain.Signal(up, Chain.SigTerm);
        up.WaitForExit();
        Assert.Equal(0, up.ExitCode);
        Assert.False(Xseg.Memory.Segment.Exists(_chain.Segment));
    }

    [Fact]
    public void Detached_it_returns_when_all_runs()
    {
        var detached = _chain.Run(["up", "--detach", .. Chain.Small]);
        Assert.True(detached.Code == 0, detached.Error);
        Assert.Contains($"--uri='{_chain.Uri("demo")}'", detached.Output, StringComparison.Ordinal);
        Assert.Contains("archipelago down", detached.Output, StringComparison.Ordinal);
        Assert.Equal("64 MiB", _chain.Run("volume", "list").Good().Output.Split('\n')[1][4..].Trim().Split("  ")[0]);
        Assert.Equal("up", _chain.Run("status", "--json").Good().Json.GetProperty("processes")[0].GetProperty("report").GetProperty("name").GetString());
        // A line of the log says each value once.
        Assert.DoesNotMatch("Peer=|Directory=|Pages=", File.ReadAllText(Path.Combine(_chain.State, "log")));
        _chain.Run("down").Good();
    }

    [Fact]
    public void Up_and_down_tell_programs_what_they_did()
    {
        var up = _chain.Run(["up", "--detach", "--json", .. Chain.Small]).Good().Json;
        Assert.Equal(_chain.Uri("demo"), up.GetProperty("volumes")[0].GetProperty("uris")[0].GetString());
        _chain.Fio("demo", "--rw=write", "--do_verify=0").Good();
        var down = _chain.Run("down", "--json").Good();
        Assert.Equal(up.GetProperty("pid").GetInt32(), down.Json.GetProperty("ended")[0].GetProperty("pid").GetInt32());
        string[] told = down.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(told.Select(line => line.Split(':')[0]).Distinct().Count(), told.Length);
    }

    [Fact]
    public void A_store_that_does_not_answer_is_no_reason_not_to_start()
    {
        string slow = _chain.Write("slow.conf", "[up]\nfirst-volume = demo\n[memd]\nlatency = 1h\n[cached]\nsize = 32M\n[mapperd]\n[vlmcd]\n[nbd]\n");
        var up = _chain.Start("up", "--config", slow);
        _chain.WaitForLog("the store does not answer");
        _chain.Run("down", "--discard-dirty").Good();
        up.WaitForExit();
    }

    [Fact]
    public void A_start_that_waits_for_its_store_is_named_and_ends_with_a_signal()
    {
        string slow = _chain.Write("slow.conf", "[up]\nfirst-volume = demo\n[memd]\nlatency = 1h\n[cached]\nsize = 32M\n[mapperd]\n[vlmcd]\n[nbd]\n");
        var both = _chain.Execute("/bin/sh", "-c", $"""
            {Chain.Executable} up --config {slow} & pid=$!
            until {Chain.Executable} down 2>&1 | grep "process $pid .*still starting"; do kill -0 $pid || exit 9; sleep 0.1; done
            {Chain.Executable} up 2>&1 | grep "$pid, starting"
            kill $pid
            wait $pid; echo ended with $?
            """).Good();
        Assert.Contains("still starting", both.Output, StringComparison.Ordinal);
        Assert.Contains(", starting", both.Output, StringComparison.Ordinal);
        Assert.Contains("ended with 1", both.Output, StringComparison.Ordinal);
        Assert.Contains("EINTR", both.Error, StringComparison.Ordinal);
    }
}
