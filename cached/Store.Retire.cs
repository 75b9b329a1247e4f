namespace Archipelago.Cached;

/// <summary>Flows whose numbers become others'.</summary>
internal sealed unsafe partial class Store
{
    /// <summary>Forgets a flow of which all is stable, its pages and what was counted of it; false, and nothing done, where something of it must stay.</summary>
    internal bool TryRetire(FlowState flow)
    {
        if (!IsAtRest(flow)) return false;
        var own = flow.Objects == 0 ? [] : Objects.All().Where(of => of.Flow == flow).ToArray();
        if (Array.Exists(own, of => !IsSpare(of))) return false;
        foreach (var of in own)
        {
            Forget(of, Existence.Unknown);
            Release(of);
        }

        // A page whose entry proved to be damaged meanwhile.
        if (flow.Pages != 0 || flow.Objects != 0 || !IsAtRest(flow)) return false;
        flow.Retire();
        return true;
    }

    private bool IsAtRest(FlowState flow)
    {
        var entry = _segment.FlowAt(flow.Index);
        return flow is { DirtyPages: 0, LostPages: 0, HasWaitingWrites: false } && flow.Written.Count == 0 && flow.Losses == flow.LossesTold && entry->FlushOwed == 0
            && _orphans?.Exists(orphan => orphan.Pages.Exists(page => page.Flow == (ushort)flow.Index)) != true;
    }
}
