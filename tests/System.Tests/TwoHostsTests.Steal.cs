using Xunit;

namespace Archipelago.Cli.Tests;

/// <summary>A volume is taken from a host that does not answer.</summary>
public abstract partial class TwoHostsTests
{
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_stopped_host_that_lost_a_volume_changes_nothing_of_it_when_it_goes_on_and_keeps_its_other_volume(bool force)
    {
        // Nobody else wants what a host has while that one lives: a pause of a busy machine loses nothing.
        Start("2s");
        string lost = Path.Combine(A.Root, "lost"), kept = Path.Combine(A.Root, "kept"), taken = Path.Combine(A.Root, "taken");
        foreach (string volume in (string[])["lost", "kept"]) A.Run("volume", "create", volume, "32M").Good();
        A.Run("volume", "open", "lost").Good();
        var losing = A.Stamps("write", A.Uri("lost"), lost);
        var keeping = A.Stamps("write", A.Uri("kept"), kept, "64");
        losing.WaitForOutput("acknowledged", 3);
        keeping.WaitForOutput("acknowledged", 3);
        _hosts.Stop(A);

        if (force) B.Run("volume", "unlock", "lost", "--force").Good();
        B.WaitFor(() => B.Run("volume", "open", "lost").Code == 0, "the lease of the stopped host to run out");
        TwoHosts.Check(B, "lost", Write(B, taken));
        string before = TwoHosts.Hash(B, "lost");

        if (!IsRados) A.WaitFor(() => _hosts.Processes[A].Blocker.HasExited, "the fenced blocker's end");
        _hosts.Signal(A, Chain.SigContinue);
        if (!IsRados)
        {
            A.WaitFor(() => A.PortState("filed.0") == "dead", "the chain to say that its blocker is dead");
            _hosts.StartBlocker(A);
        }

        // All four writers of the one, none of the other.
        A.WaitFor(() => losing.HasExited, "the writes to the lost volume to fail");
        var failed = losing.End();
        Assert.Equal(4, failed.Error.Split("Input/output error").Length - 1);
        A.WaitForLog("volume lost: another host has taken it over");
        keeping.WaitForOutput("acknowledged", keeping.Output.Split("acknowledged").Length + 2);
        TwoHosts.EndWell(A, keeping);
        TwoHosts.Check(A, "kept", kept);
        Assert.Equal(before, TwoHosts.Hash(A, "lost@"));
        Assert.Equal(before, TwoHosts.Hash(B, "lost"));

        // What it had not written is given up already: it need not be told to.
        if (force)
        {
            A.Run("down").Good();
            _hosts.Start(A);
        }
        else
        {
            A.Run("volume", "close", "lost").Good();
        }

        Write(B, taken);
        before = TwoHosts.Hash(B, "lost");
        B.Run("volume", "close", "lost").Good();
        TwoHosts.WaitUntilFree(A, "lost");
        Assert.Equal(before, TwoHosts.Hash(A, "lost"));
        CheckClosed(A, "lost", taken);
        TwoHosts.Write(A, "lost", taken);
        TwoHosts.Check(B, "lost", taken);
        _hosts.Down();
    }

    [Fact]
    public void A_host_that_finds_its_lock_broken_says_so_fails_flushes_and_leaves_the_lock_to_who_broke_it()
    {
        Start("9s");
        A.Run("volume", "create", "lost", "64M").Good();
        var guest = A.Begin("/usr/bin/python3", "-c", """
            import sys, nbd
            h = nbd.NBD()
            h.connect_uri(sys.argv[1])
            h.pwrite(b"a" * 4096, 0)
            h.flush()
            def attempt(what):
                try:
                    what()
                    return "done"
                except nbd.Error as e:
                    return e.errno
            print("ready", flush=True)
            for line in sys.stdin:
                print(attempt(h.flush), attempt(lambda: h.pwrite(b"b" * 4096, 0)), attempt(h.flush), "asked", flush=True)
            """, A.Uri("lost"));
        guest.WaitForOutput("ready");
        string told = B.Run("volume", "unlock", "lost", "--force").Good().Output;
        if (!IsRados)
        {
            Assert.Contains($"Process {_hosts.Processes[A].Blocker.Id} of this machine, which wrote under it, was killed", told, StringComparison.Ordinal);
            A.WaitFor(() => _hosts.Processes[A].Blocker.HasExited, "the fenced blocker's end");
            _hosts.StartBlocker(A);
        }

        A.WaitForLog("volume lost: another host has taken it over");
        // It asked for its own lock, which was free then: it must not have taken it again.
        B.Run("volume", "open", "lost").Good();
        guest.Type("now");
        guest.WaitForOutput("asked");
        Assert.Contains("EIO EIO EIO asked", guest.Output, StringComparison.Ordinal);
        guest.End().Good();
        B.Run("volume", "close", "lost").Good();
        TwoHosts.WaitUntilFree(A, "lost");
        Assert.Equal(0, A.Execute("qemu-io", "-f", "raw", A.Uri("lost"), "-c", "read -P 0x61 0 4096").Good().Output.Split("verification failed").Length - 1);
        _hosts.Down();
    }

    [Fact]
    public void A_host_whose_lock_was_broken_has_the_volume_anew_as_soon_as_it_has_closed_it()
    {
        // 20 s pass before it would renew, and so find the lock broken.
        Start();
        A.Run("volume", "create", "lost", "64M").Good();
        A.Run("volume", "open", "lost").Good();
        Outcome Writes(int pattern) => A.Execute("qemu-io", "-f", "raw", A.Uri("lost"), "-c", $"write -P {pattern} 0 4k", "-c", "flush");
        Writes(1).Good();
        B.Run("volume", "unlock", "lost", "--force").Good();
        if (!IsRados)
        {
            A.WaitFor(() => _hosts.Processes[A].Blocker.HasExited, "the fenced blocker's end");
            _hosts.StartBlocker(A);
        }

        Assert.NotEqual(0, Writes(2).Code);
        A.Run("volume", "close", "lost").Good();
        Assert.Equal("free", TwoHosts.Lock(A, "lost").State);
        Writes(3).Good();
        TwoHosts.WaitUntilFree(A, "lost");
        Assert.DoesNotContain("verification failed", B.Execute("qemu-io", "-f", "raw", B.Uri("lost"), "-c", "read -P 3 0 4k").Good().Output, StringComparison.Ordinal);
        _hosts.Down();
    }

    /// <summary>Stamps a volume that stays open.</summary>
    private static string Write(Chain host, string record)
    {
        var stamps = host.Stamps("write", host.Uri("lost"), record, "64");
        stamps.WaitForOutput("acknowledged", 4);
        TwoHosts.EndWell(host, stamps);
        return record;
    }
}
