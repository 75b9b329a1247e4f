namespace Archipelago.Mapperd.Tests;

/// <summary>What <see cref="CrashTests"/> does, where one peer is killed. A class of its own as those run beside each other, and the tests of one do not.</summary>
public class KilledPeerCrashTests
{
    public static TheoryData<string, CrashTests.Cut> Cases => CrashTests.CasesOf(CrashTests.Cut.KillsMapperd, CrashTests.Cut.KillsVlmcd);

    [Theory]
    [MemberData(nameof(Cases))]
    public void A_change_that_is_cut_off_is_done_or_not_done(string scenario, CrashTests.Cut cut) => CrashTests.CutEverywhere(scenario, cut);
}
