using Archipelago.Runtime.Scheduling;

namespace Archipelago.Runtime.Tests.Scheduling;

/// <summary>When spinning pays.</summary>
public sealed class SpinBudgetTests
{
    private const long Limit = 50_000;

    [Fact]
    public void WorkThatComesSoonIsSpunForAndWorkThatDoesNotIsSleptFor()
    {
        var budget = new SpinBudget(Limit);
        for (int i = 0; i < 100; i++) budget.Found(5_000);
        Assert.InRange(budget.Current, 10_000, Limit);
        for (int i = 0; i < 100; i++) budget.Found(1_000_000);
        Assert.InRange(budget.Current, 0, 1_000);
    }

    /// <summary>A client that asks again 40 µs after each answer must not be slept for only because the sleep itself made it 60.</summary>
    [Fact]
    public void ASleepThatCostMoreThanItSavedEndsInSpinning()
    {
        var budget = new SpinBudget(Limit);
        for (int i = 0; i < 100; i++) budget.Found(1_000_000);
        for (int i = 0; i < 100; i++) budget.Woken(60_000);
        Assert.Equal(Limit, budget.Current);
        for (int i = 0; i < 100; i++) budget.Woken(1_000_000);
        Assert.InRange(budget.Current, 0, 1_000);
    }
}
