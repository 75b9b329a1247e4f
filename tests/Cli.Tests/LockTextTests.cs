using Archipelago.Cli.Commands.Volumes;
using Archipelago.Mapperd.Control;

using Xunit;

namespace Archipelago.Cli.Tests;

/// <summary>Who has a lock, in words.</summary>
public sealed class LockTextTests
{
    private static readonly DateTimeOffset Past = new(2020, 1, 2, 3, 4, 5, TimeSpan.Zero), Future = new(2200, 1, 2, 3, 4, 5, TimeSpan.Zero);

    [Fact]
    public void A_lease_says_when_it_ends_or_that_it_has_run_out()
    {
        Assert.Contains("lease 60 s, which ran out at 2020-01-02 03:05:05Z: another host may take the lock", Of("b pid 7", Past), StringComparison.Ordinal);
        Assert.Contains("lease 60 s, which ends at 2200-01-02 03:05:05Z unless it is renewed", Of("b pid 7", Future), StringComparison.Ordinal);
    }

    [Fact]
    public void The_holder_is_named_as_host_and_process_and_otherwise_as_the_configuration_says()
    {
        Assert.StartsWith("another host has it: host b, process 7,", Of("b pid 7", Past), StringComparison.Ordinal);
        Assert.StartsWith("another host has it: rack 3 pid x,", Of("rack 3 pid x", Past), StringComparison.Ordinal);
    }

    private static string Of(string owner, DateTimeOffset renewed) => LockText.Of(new LockInfo("elsewhere", owner, Renewed: renewed, LeaseSeconds: 60, Epoch: 4));
}
